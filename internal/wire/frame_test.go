package wire

import (
	"context"
	"slices"
	"testing"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire/wiretest"
)

// TestApiVersions steps every client down to what is served, and tells all the same.
func TestApiVersions(t *testing.T) {
	r := newRig(t, Default(), nil, heartbeats(HandlerFunc(echo)), ProduceAPI(HandlerFunc(echo)), FetchAPI(HandlerFunc(echo)))
	c := r.dial()
	ask := func(version int16, name string) *kmsg.ApiVersionsResponse {
		t.Helper()
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = name, "1.2"
		b := request(req, min(version, 5), int32(version))
		b[6], b[7] = byte(version>>8), byte(version)
		mustSend(t, c, b)
		id, body, err := answer(c)
		if err != nil || id != int32(version) {
			t.Fatalf("version %d: %d, %v", version, id, err)
		}
		resp := kmsg.NewPtrApiVersionsResponse()
		if resp.Version = version; version > 4 {
			resp.Version = 0
		}
		if err := resp.ReadFrom(body); err != nil {
			t.Fatal(err)
		}
		return resp
	}
	want := [][3]int16{{0, 0, 11}, {1, 4, 17}, {12, 0, 4}, {18, 0, 4}}
	for version := range int16(5) {
		resp := ask(version, "tester")
		var got [][3]int16
		for _, k := range resp.ApiKeys {
			got = append(got, [3]int16{k.ApiKey, k.MinVersion, k.MaxVersion})
		}
		if resp.ErrorCode != 0 || !slices.Equal(got, want) {
			t.Errorf("version %d: error %d, %v", version, resp.ErrorCode, got)
		}
	}
	for _, version := range []int16{5, 6, 1000, 32767} {
		resp := ask(version, "tester")
		if resp.ErrorCode != kerr.UnsupportedVersion.Code || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 || resp.ApiKeys[0].MaxVersion != 4 {
			t.Errorf("version %d: %+v", version, resp)
		}
	}
	for _, name := range []string{"", "-x", "a b", "x;", "ü"} {
		if resp := ask(3, name); resp.ErrorCode != kerr.InvalidRequest.Code {
			t.Errorf("software name %q: error %d", name, resp.ErrorCode)
		}
	}
}

// TestOldProduce refuses message sets partition by partition, in the schema of their version.
func TestOldProduce(t *testing.T) {
	r := newRig(t, Default(), nil, ProduceAPI(HandlerFunc(func(_ context.Context, r *Request, reply func(Reply)) {
		t.Errorf("version %d was handed over", r.Version)
		reply(Reply{Close: true})
	})))
	req := kmsg.NewPtrProduceRequest()
	req.Acks = 1
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "t"
	topic.Partitions = make([]kmsg.ProduceRequestTopicPartition, 2)
	topic.Partitions[1].Partition = 5
	req.Topics = append(req.Topics, topic)
	for version := range int16(3) {
		c := r.dial()
		mustSend(t, c, request(req, version, 1))
		_, body, err := answer(c)
		if err != nil {
			t.Fatal(err)
		}
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = version
		if err := resp.ReadFrom(body); err != nil {
			t.Fatal(err)
		}
		p := resp.Topics[0].Partitions
		if len(p) != 2 || p[1].Partition != 5 || p[0].ErrorCode != kerr.UnsupportedVersion.Code || p[0].BaseOffset != -1 {
			t.Errorf("version %d: %+v", version, resp)
		}
	}
	req.Acks = 0
	c := r.dial()
	mustSend(t, c, request(req, 1, 1))
	if _, _, err := answer(c); err == nil {
		t.Error("acks=0 was answered")
	}
}

// TestRecordsAreNotCopied finds the records of a parsed request inside its frame.
func TestRecordsAreNotCopied(t *testing.T) {
	req := kmsg.NewPtrProduceRequest()
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "t"
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = []byte("records")
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	for version := ProduceServeMin; version <= ProduceMax; version++ {
		b := request(req, version, 1)[4:]
		r, err := parseRequest(b)
		if err != nil {
			t.Fatal(err)
		}
		got := r.Body.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records
		from, at := uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&got[0]))
		if string(got) != "records" || at < from || at >= from+uintptr(len(b)) {
			t.Errorf("version %d: records were copied", version)
		}
	}
}

// FuzzRequest finds no frame that panics, or that decodes to more memory than was charged for it.
func FuzzRequest(f *testing.F) {
	for key := range int16(70) {
		req := kmsg.RequestForKey(key)
		if req == nil {
			continue
		}
		for version := range req.MaxVersion() + 1 {
			f.Add(request(req, version, 1)[4:])
		}
	}
	f.Add(emptyPartitions(50)[4:])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRequest(b)
		if err != nil {
			return
		}
		if cost, charged := footprint(r), parseCharge(r.Key, len(b)); cost > charged+4096 {
			t.Errorf("%s version %d: %d bytes decode to %d, charged were %d", r.name(), r.Version, len(b), cost, charged)
		}
		r.Body.AppendTo(nil)
	})
}

// FuzzStream finds no bytes that a listener does not survive.
func FuzzStream(f *testing.F) {
	f.Add(beat(1))
	f.Add(append(beat(1), 0x16, 3, 1, 0))
	f.Add(frame(0, 18, 0, 9, 0, 0, 0, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := wiretest.NewPipes()
		newRig(t, Default(), p, heartbeats(HandlerFunc(echo)))
		c := p.Dial()
		go func() {
			_, _ = c.Write(b)
			_ = c.Close()
		}()
		for {
			if _, _, err := answer(c); err != nil {
				return
			}
		}
	})
}

// TestValues keeps what handlers store per connection.
func TestValues(t *testing.T) {
	type key struct{}
	r := newRig(t, Default(), nil, heartbeats(HandlerFunc(func(_ context.Context, r *Request, reply func(Reply)) {
		n, _ := r.Conn.Value(key{}).(int)
		r.Conn.SetValue(key{}, n+1)
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.ErrorCode = int16(n)
		reply(Reply{Body: resp})
	})))
	c := r.dial()
	for want := range 3 {
		mustSend(t, c, beat(1))
		_, body, err := answer(c)
		if err != nil || int(body[6]) != want {
			t.Fatalf("answer %x, %v, want %d", body, err, want)
		}
	}
}

// TestRegister refuses APIs that cannot be right.
func TestRegister(t *testing.T) {
	h := HandlerFunc(echo)
	for name, apis := range map[string][]API{
		"unknown key":    {{Key: 999, Handler: h}},
		"no handler":     {{Key: 12}},
		"twice":          {heartbeats(h), heartbeats(h)},
		"min over max":   {{Key: 12, Min: 3, ServeMin: 3, Max: 2, Handler: h}},
		"max too high":   {{Key: 12, Max: 99, Handler: h}},
		"not all served": {{Key: 12, Max: 4, ServeMin: 1, Handler: h}},
		"own key":        {{Key: 18, Max: 4, Handler: h}},
	} {
		if _, err := NewServer(Default(), Deps{}, apis); err == nil {
			t.Errorf("%s: registered", name)
		}
	}
	if err := (Config{}).Validate(); err == nil {
		t.Error("an empty configuration is valid")
	}
}
