package agentgroup

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMetaRoundTrip(t *testing.T) {
	text := rapid.StringMatching(`[!-~]{0,40}`)
	rapid.Check(t, func(t *rapid.T) {
		m := Member{
			NodeID:  rapid.Int32Range(0, math.MaxInt32).Draw(t, "node"),
			Session: rapid.Uint64().Draw(t, "session"),
			Zone:    text.Draw(t, "zone"),
			Host:    text.Draw(t, "host"),
			Port:    rapid.Int32Range(0, math.MaxUint16).Draw(t, "port"),
			Settled: rapid.Bool().Draw(t, "settled"), Cut: rapid.Bool().Draw(t, "cut"),
		}
		if rapid.Bool().Draw(t, "has a peer") {
			m.Peer = "10.1.2.3:7950"
		}
		for range rapid.IntRange(0, 3).Draw(t, "roles") {
			m.Roles = append(m.Roles, text.Draw(t, "role"))
		}
		b := appendMeta(nil, m)
		got, err := parseMeta(b)
		if err != nil || !reflect.DeepEqual(got, m.normal()) {
			t.Fatalf("got %+v, %v; want %+v", got, err, m.normal())
		}
		if later, err := parseMeta(append(b, "a later version's"...)); err != nil || !reflect.DeepEqual(later, got) {
			t.Fatalf("appended fields: %v", err)
		}
		for cut := range len(b) {
			if _, err := parseMeta(b[:cut]); err == nil {
				t.Fatalf("parsed %d of %d bytes", cut, len(b))
			}
		}
	})
}

func TestNormal(t *testing.T) {
	for _, tc := range []struct{ in, want Member }{
		{Member{Kafka: "b1.example:9092"}, Member{Host: "b1.example", Port: 9092, Kafka: "b1.example:9092"}},
		{Member{Host: "::1", Port: 9092}, Member{Host: "::1", Port: 9092, Kafka: "[::1]:9092"}},
		{Member{}, Member{}},
	} {
		if got := tc.in.normal(); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%+v became %+v", tc.in, got)
		}
	}
}

func TestCheckSelfRefuses(t *testing.T) {
	good := Member{NodeID: 1, Agent: "a1", Host: "b1", Port: 9092, Peer: "b1:7950", Zone: "a", Roles: []string{"produce"}}
	if err := checkSelf(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Member){
		"no agent":      func(m *Member) { m.Agent = "" },
		"negative node": func(m *Member) { m.NodeID = -1 },
		"port":          func(m *Member) { m.Port = 65536 },
		"peer":          func(m *Member) { m.Peer = "b1" },
		"control bytes": func(m *Member) { m.Zone = "a\nb" },
		"long zone":     func(m *Member) { m.Zone = strings.Repeat("z", 300) },
		"long together": func(m *Member) { m.Host, m.Zone = strings.Repeat("h", 250), strings.Repeat("z", 250) },
		"many roles":    func(m *Member) { m.Roles = make([]string, 17) },
	} {
		m := good
		change(&m)
		if err := checkSelf(m); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestConfigReportsEveryFault(t *testing.T) {
	c := Default()
	c.Cluster, c.Group = "demo", "prod"
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c.Group, c.Bind, c.Advertise, c.ProbeTimeout, c.SuspicionMult, c.Settle = "", "nowhere", "here", time.Hour, 0, -1
	err := c.Validate()
	for _, want := range []string{"group", `"nowhere"`, `"here"`, "probe timeout", "suspicion", "settling"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	for bind, want := range map[string]string{":7946": "0.0.0.0", "[::]:1": "0.0.0.0", "localhost:0": "127.0.0.1", "10.0.0.1:5": "10.0.0.1"} {
		if host, _, err := splitBind(bind); err != nil || host != want {
			t.Errorf("%s: %s, %v", bind, host, err)
		}
	}
	for _, bind := range []string{"example.com:1", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:-1"} {
		if _, _, err := splitBind(bind); err == nil {
			t.Errorf("%s was accepted", bind)
		}
	}
}

func FuzzParseMeta(f *testing.F) {
	f.Add(appendMeta(nil, Member{NodeID: 1, Session: 9, Host: "b1", Port: 9092, Peer: "b1:7950", Zone: "a", Roles: []string{"produce"}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err != nil {
			return
		}
		again, err := parseMeta(appendMeta(nil, m))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}
