package agentgroup

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/isthmusdata/isthmus/internal/topic"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func keyOf(group string) []byte { return bytes.Repeat([]byte(group[:1]), 32) }

// node is a member under test; news has a token whenever its members have changed.
type node struct {
	*Group
	news chan struct{}
}

// agent joins a group on a free loopback port. Settling takes longer than any test unless changed.
func agent(t *testing.T, group string, id int32, seeds []string, change func(*Config, *Member, *Deps)) node {
	t.Helper()
	cfg := Default()
	cfg.Cluster, cfg.Group, cfg.Bind = "demo", group, "127.0.0.1:0"
	cfg.Settle = time.Hour
	// Quicker than the defaults, so that the tests are; the defaults' arithmetic has its own test.
	cfg.ProbeInterval, cfg.ProbeTimeout, cfg.GossipInterval = 100*time.Millisecond, 80*time.Millisecond, 10*time.Millisecond
	self := Member{NodeID: id, Agent: fmt.Sprintf("%s-%d", group, id), Session: uint64(id), Roles: []string{"produce", "fetch"},
		Zone: "a", Host: "127.0.0.1", Port: 9000 + id, Peer: fmt.Sprintf("127.0.0.1:%d", 8000+id)}
	news := make(chan struct{}, 1)
	deps := Deps{Log: quiet, OnChange: func() {
		select {
		case news <- struct{}{}:
		default:
		}
	}}
	if change != nil {
		change(&cfg, &self, &deps)
	}
	g, err := Join(t.Context(), cfg, self, seeds, keyOf(group), deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return node{g, news}
}

// sees waits until the node's members are as told, looking whenever they change.
func (n node) sees(t *testing.T, what string, holds func([]Member) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !holds(n.Members()) {
		select {
		case <-n.news:
		case <-ctx.Done():
			t.Fatalf("node %d never saw %s: %+v", n.Self().NodeID, what, n.Members())
		}
	}
}

func ids(members []Member) string {
	var s []string
	for _, m := range members {
		s = append(s, fmt.Sprint(m.NodeID))
	}
	return strings.Join(s, " ")
}

func (n node) seesIDs(t *testing.T, want string) {
	t.Helper()
	n.sees(t, "members "+want, func(m []Member) bool { return ids(m) == want })
}

func TestMembersSeeEachOther(t *testing.T) {
	reg := prometheus.NewRegistry()
	a := agent(t, "prod", 1, nil, func(_ *Config, _ *Member, d *Deps) { d.Registerer = reg })
	b := agent(t, "prod", 2, []string{a.Self().Gossip}, nil)
	c := agent(t, "prod", 3, []string{a.Self().Gossip, "127.0.0.1:1"}, nil)
	for _, n := range []node{a, b, c} {
		n.seesIDs(t, "1 2 3")
	}
	got := a.Members()[1]
	want := b.Self()
	if fmt.Sprint(got) != fmt.Sprint(want) || got.Gossip == "" || strings.HasSuffix(got.Gossip, ":0") {
		t.Errorf("b is known as %+v, it is %+v", got, want)
	}
	p := topic.Partition{Topic: topic.ID{1}, Index: 4}
	x, _ := a.Leader(p, "a", "produce")
	y, _ := c.Leader(p, "a", "produce")
	if x.NodeID != y.NodeID {
		t.Errorf("%d and %d lead the same partition", x.NodeID, y.NodeID)
	}
	owners := map[string]int{}
	for _, n := range []node{a, b, c} {
		addr, self := n.Owner("chunk")
		owners[addr]++
		if self != (addr == n.Self().Peer) {
			t.Errorf("node %d: owner %s, self %v", n.Self().NodeID, addr, self)
		}
	}
	if len(owners) != 1 {
		t.Errorf("one chunk is owned by %v", owners)
	}
	if n, err := testutil.GatherAndCount(reg); err != nil || n < 4 {
		t.Errorf("%d metrics, %v", n, err)
	}
}

// TestGroupsNeverMeet: agents of another group, with another key or label, that are told each
// other's addresses as seeds are refused on both sides.
func TestGroupsNeverMeet(t *testing.T) {
	a := agent(t, "prod", 1, nil, nil)
	b := agent(t, "analytics", 2, []string{a.Self().Gossip}, nil)
	// The right key under the wrong label is no better than the wrong key.
	c := agent(t, "prod", 3, []string{a.Self().Gossip}, func(c *Config, _ *Member, _ *Deps) { c.Cluster = "other" })
	a.Reseed([]string{b.Self().Gossip, c.Self().Gossip})
	// A friend arrives after the strangers; when everyone has heard of it, the strangers' attempts lie behind.
	friend := agent(t, "prod", 4, []string{a.Self().Gossip}, nil)
	a.seesIDs(t, "1 4")
	friend.seesIDs(t, "1 4")
	for _, n := range []node{b, c} {
		if len(n.Members()) != 1 {
			t.Errorf("node %d sees %s", n.Self().NodeID, ids(n.Members()))
		}
	}
}

func TestKilledMemberIsGone(t *testing.T) {
	a := agent(t, "prod", 1, nil, nil)
	b := agent(t, "prod", 2, []string{a.Self().Gossip}, nil)
	c := agent(t, "prod", 3, []string{a.Self().Gossip}, nil)
	b.seesIDs(t, "1 2 3")
	c.seesIDs(t, "1 2 3")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b.seesIDs(t, "2 3")
	c.seesIDs(t, "2 3")
}

func TestLeaverIsGoneAndKnowsIt(t *testing.T) {
	// A member is never declared dead here, so that only the goodbye can do it.
	patient := func(c *Config, _ *Member, _ *Deps) { c.SuspicionMult = 1000 }
	a := agent(t, "prod", 1, nil, patient)
	b := agent(t, "prod", 2, []string{a.Self().Gossip}, patient)
	c := agent(t, "prod", 3, []string{a.Self().Gossip}, patient)
	c.seesIDs(t, "1 2 3")
	b.seesIDs(t, "1 2 3")
	if err := c.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.seesIDs(t, "1 2")
	b.seesIDs(t, "1 2")
	c.seesIDs(t, "1 2")
	if err := c.Leave(t.Context()); err != nil {
		t.Errorf("leaving twice: %v", err)
	}
	c.Reseed([]string{"127.0.0.1:1"})
}

func TestReseedFindsLostNeighbours(t *testing.T) {
	a := agent(t, "prod", 1, nil, nil)
	b := agent(t, "prod", 2, nil, nil)
	a.seesIDs(t, "1")
	a.Reseed([]string{a.Self().Gossip, "127.0.0.1:1", b.Self().Gossip})
	a.seesIDs(t, "1 2")
	b.seesIDs(t, "1 2")
	if lost := a.lost([]string{a.Self().Gossip, b.Self().Gossip}); lost != nil {
		t.Errorf("%v are members, not lost", lost)
	}
}

// TestRestartOnTheSamePort: the new life is seen at once, although the old one is not yet
// declared dead.
func TestRestartOnTheSamePort(t *testing.T) {
	patient := func(c *Config, _ *Member, _ *Deps) { c.SuspicionMult = 1000 }
	a := agent(t, "prod", 1, nil, patient)
	b := agent(t, "prod", 2, []string{a.Self().Gossip}, patient)
	a.seesIDs(t, "1 2")
	address := b.Self().Gossip
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again := agent(t, "prod", 7, []string{a.Self().Gossip}, func(c *Config, m *Member, d *Deps) {
		patient(c, m, d)
		c.Bind = address
	})
	a.seesIDs(t, "1 7")
	again.seesIDs(t, "1 7")
}

func TestUpdateAndSettle(t *testing.T) {
	a := agent(t, "prod", 1, nil, nil)
	b := agent(t, "prod", 2, []string{a.Self().Gossip}, func(c *Config, _ *Member, _ *Deps) { c.Settle = 50 * time.Millisecond })
	a.sees(t, "b settled", func(m []Member) bool { return len(m) == 2 && m[1].Settled })
	self := b.Self()
	self.Session = 99
	if err := b.Update(self); err != nil {
		t.Fatal(err)
	}
	a.sees(t, "b's new session", func(m []Member) bool { return len(m) == 2 && m[1].Session == 99 && m[1].Settled })
	if err := b.SetCut(true); err != nil {
		t.Fatal(err)
	}
	a.sees(t, "b cut off", func(m []Member) bool { return len(m) == 2 && m[1].Cut && m[1].Session == 99 })
	if n := a.cutOff(); n != 1 {
		t.Errorf("%d members are counted as cut off", n)
	}
	if got := b.Coordinator(); !b.PassedOver() || got.NodeID != 1 || a.PassedOver() || a.Coordinator().NodeID != 1 {
		t.Errorf("cut off, it is passed over: %v, and names coordinator %d", b.PassedOver(), got.NodeID)
	}
	if err := b.SetCut(false); err != nil {
		t.Fatal(err)
	}
	a.sees(t, "b back", func(m []Member) bool { return len(m) == 2 && !m[1].Cut })
	self.Zone = strings.Repeat("z", 300)
	if err := b.Update(self); err == nil || b.Self().Zone != "a" {
		t.Errorf("an impossible update: %v, %+v", err, b.Self())
	}
}

func TestKeysRotate(t *testing.T) {
	a := agent(t, "prod", 1, nil, nil)
	b := agent(t, "prod", 2, []string{a.Self().Gossip}, nil)
	a.seesIDs(t, "1 2")
	old, fresh := keyOf("prod"), keyOf("new")
	for _, phase := range [][][]byte{{old, fresh}, {fresh, old}, {fresh}} {
		for _, n := range []node{a, b} {
			if err := n.SetKeys(phase[0], phase[1:]...); err != nil {
				t.Fatal(err)
			}
		}
	}
	self := b.Self()
	self.Session = 50
	if err := b.Update(self); err != nil {
		t.Fatal(err)
	}
	a.sees(t, "news under the new key", func(m []Member) bool { return len(m) == 2 && m[1].Session == 50 })
	if err := a.SetKeys([]byte("short")); err == nil {
		t.Error("a short key was taken")
	}
}

func TestListenBeforeLogin(t *testing.T) {
	cfg := Default()
	cfg.Cluster, cfg.Group, cfg.Bind = "demo", "prod", "127.0.0.1:0"
	l, err := Listen(cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	n := agent(t, "prod", 1, nil, func(_ *Config, _ *Member, d *Deps) { d.Listener = l })
	if n.Self().Gossip != l.Address() {
		t.Errorf("gossips on %s, listened on %s", n.Self().Gossip, l.Address())
	}
	l.Close() // the group has it: nothing happens
	other := agent(t, "prod", 2, []string{l.Address()}, nil)
	other.seesIDs(t, "1 2")
	if _, err := Join(t.Context(), cfg, n.Self(), nil, keyOf("prod"), Deps{Log: quiet, Listener: l}); err == nil {
		t.Error("one listener served two groups")
	}

	unused, err := Listen(cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", unused.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	unused.Close() // with a connection that nobody will ever serve
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the closed listener answers")
	}
}

func TestJoinRefuses(t *testing.T) {
	cfg := Default()
	cfg.Cluster, cfg.Group, cfg.Bind = "demo", "prod", "127.0.0.1:0"
	self := Member{NodeID: 1, Agent: "a"}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for name, tc := range map[string]struct {
		change func(*Config)
		self   Member
		key    []byte
		says   string
	}{
		"no key":    {nil, self, nil, "no gossip key"},
		"short key": {nil, self, []byte("short"), "gossip key of 5 bytes"},
		"no agent":  {nil, Member{NodeID: 1}, keyOf("prod"), "agent name"},
		"config":    {func(c *Config) { c.Group = "" }, self, keyOf("prod"), "group"},
		"busy port": {func(c *Config) { c.Bind = busy.Addr().String() }, self, keyOf("prod"), "--gossip"},
	} {
		c := cfg
		if tc.change != nil {
			tc.change(&c)
		}
		if _, err := Join(t.Context(), c, tc.self, nil, tc.key, Deps{Log: quiet}); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDefaultsKeepThePromise computes how long memberlist's detector takes. In a group of ten
// each of nine members probes one of nine in an interval, so that a dead one is missed by all
// with (8/9)^9 = 0.35; after five intervals that is less than one in a hundred. Another interval
// passes until the probe is given up, and then the suspicion stands.
func TestDefaultsKeepThePromise(t *testing.T) {
	c := Default()
	missed := math.Pow(math.Pow(8./9, 9), 5)
	if took := time.Duration(5+1+c.SuspicionMult) * c.ProbeInterval; missed > 0.01 || took > 2*time.Second {
		t.Errorf("a dead member of ten is noticed after %v, and missed by then %.3f of the time", took, missed)
	}
}

func TestLogsAreBridged(t *testing.T) {
	var out bytes.Buffer
	l := bridge(slog.New(slog.NewTextHandler(&out, nil)))
	l.Print("[ERR] memberlist: no such host")
	l.Print("[DEBUG] memberlist: chatter")
	if got := out.String(); !strings.Contains(got, `level=WARN msg="gossip: no such host"`) || strings.Contains(got, "chatter") {
		t.Errorf("logged %s", got)
	}
}
