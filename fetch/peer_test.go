package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// ring is Owners that always names one agent.
type ring struct{ addr string }

func (r ring) Owner(string) (string, bool) { return r.addr, r.addr == "" }

// servePeers serves the chunks of h on a loopback port until the test ends.
func servePeers(t *testing.T, h *Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := h.PeerServer()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// TestOwnerReadsForAll: consumers at three agents of a zone share one GET a segment, which the
// owner makes; and when the owner dies the others read the bucket.
func TestOwnerReadsForAll(t *testing.T) {
	w := newWorld(t, "events")
	owner := w.handler()
	addr := servePeers(t, owner)
	others := []*Handler{w.handler(func(_ *Config, d *Deps) { d.Owners = ring{addr} }), w.handler(func(_ *Config, d *Deps) { d.Owners = ring{addr} })}
	var frames []frame
	for i := range int32(4) {
		frames = append(frames, frame{w.partition("events", i), []record.Batch{batchOf(uint64(i), 3, 10_000)}})
	}
	w.produce(frames...)
	for _, h := range append(others, owner) {
		var asks []ask
		for i := range int32(4) {
			asks = append(asks, ask{"events", i, 1, 1 << 20})
		}
		for range 2 {
			resp := serve(t, h, w.request(12, 1000, 1, 1<<20, asks...))
			for i, p := range resp.Topics[0].Partitions {
				if want := w.from(w.partition("events", int32(i)), 1); p.ErrorCode != 0 || !bytes.Equal(p.RecordBatches, want) {
					t.Fatalf("partition %d: code %d, %d bytes, wanted %d", i, p.ErrorCode, len(p.RecordBatches), len(want))
				}
			}
		}
	}
	if n := w.getCount(); n != 1 {
		t.Errorf("%d GETs for one segment and three agents", n)
	}
}

// TestOwnerFails: an owner that refuses, is silent, sends rubbish or is not there costs time but
// no records; and it is left alone afterwards.
func TestOwnerFails(t *testing.T) {
	for what, behave := range map[string]func(net.Conn){
		"closes":  func(c net.Conn) { c.Close() },
		"silent":  func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"rubbish": func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte{0xff}, 100)); _, _ = io.Copy(io.Discard, c) },
		"corrupt": func(c net.Conn) {
			q, err := readPeerRequest(c)
			if err != nil {
				return
			}
			n := int64(0)
			for _, s := range q.spans {
				n += s.size()
			}
			_, _ = c.Write(append(appendPeerHead(nil, peerOK, n), make([]byte, n)...))
		},
	} {
		t.Run(what, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() { defer c.Close(); behave(c) }()
				}
			}()
			w := newWorld(t, "events")
			h := w.handler(func(c *Config, d *Deps) {
				d.Owners = ring{l.Addr().String()}
				c.PeerTimeout, c.PeerCooldown = 50*time.Millisecond, time.Hour
			})
			for i := range uint64(3) {
				w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(i, 3, 1000)}})
				p := only(t, serve(t, h, w.request(12, 1000, 1, 1<<20, ask{"events", 0, topic.Offset(3 * i), 1 << 20})))
				if p.ErrorCode != 0 || !bytes.Equal(p.RecordBatches, w.from(w.partition("events", 0), topic.Offset(3*i))) {
					t.Fatalf("code %d, %d bytes", p.ErrorCode, len(p.RecordBatches))
				}
			}
			if what != "corrupt" && h.reader.peers.usable(l.Addr().String()) {
				t.Error("an owner that failed is asked again at once")
			}
		})
	}
}

// TestIdlePeerConnectionsEnd: a peer that is asked no more, for it has come back elsewhere, costs no
// descriptors for ever.
func TestIdlePeerConnectionsEnd(t *testing.T) {
	w := newWorld(t, "events")
	h := w.handler()
	addr := servePeers(t, h)
	w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(1, 3, 1000)}})
	good := w.logs[w.partition("events", 0)].locations[0]
	c := newPeerClient(&h.cfg, &h.deps)
	defer c.close()
	c.pool.kept = time.Millisecond
	for range 3 { // over a connection that was kept, or that has just ended
		if _, err := c.get(t.Context(), &load{object: good.Object, size: int64(good.Size), peer: addr, pieces: []*piece{{span: spanOf(&good)}}}); err != nil {
			t.Fatal(err)
		}
	}
	idle := func() int {
		c.pool.mu.Lock()
		defer c.pool.mu.Unlock()
		return len(c.pool.idle)
	}
	for deadline := time.Now().Add(60 * time.Second); idle() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("an idle connection is kept for ever")
		}
	}
}

// TestPeerRefuses: what the server does not have, or is asked wrongly, is said, and the
// connection goes on where it can.
func TestPeerRefuses(t *testing.T) {
	w := newWorld(t, "events")
	h := w.handler()
	addr := servePeers(t, h)
	key := w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(1, 3, 1000)}})
	good := w.logs[w.partition("events", 0)].locations[0]
	c := newPeerClient(&h.cfg, &h.deps)
	defer c.close()
	ask := func(o segment.Object, size int64, s span) ([]byte, error) {
		return c.get(t.Context(), &load{object: o, size: size, peer: addr, pieces: []*piece{{span: s}}})
	}
	gone := good.Object
	gone.Nonce[0]++
	foreign := good.Object
	foreign.Share = "s2"
	for what, err := range map[string]error{
		"gone":      second(ask(gone, int64(good.Size), spanOf(&good))),
		"foreign":   second(ask(foreign, int64(good.Size), spanOf(&good))),
		"no batch":  second(ask(good.Object, int64(good.Size), span{int64(good.Position) + 1, int64(good.Position) + 100})),
		"too large": second(ask(good.Object, int64(good.Size)+1, spanOf(&good))),
	} {
		var refusal *peerRefusal
		if !errors.As(err, &refusal) {
			t.Errorf("%s: %v", what, err)
		}
		if what == "gone" && refusal != nil && refusal.status != peerNotFound {
			t.Errorf("gone: status %d", refusal.status)
		}
	}
	data, err := ask(good.Object, int64(good.Size), spanOf(&good))
	if err != nil || !bytes.Equal(data, w.objects[key][good.Position:good.Position+good.Length]) {
		t.Errorf("good: %v", err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPeerAnswer(conn, 1, func() {}); err == nil {
		t.Error("an oversized request is answered")
	}
}

func second(_ []byte, err error) error { return err }

// TestPeerFrames: what is encoded is decoded.
func TestPeerFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := peerRequest{class: class(rapid.IntRange(0, 1).Draw(t, "class")), wait: time.Duration(rapid.IntRange(0, 1e6).Draw(t, "wait")) * time.Millisecond,
			object: segment.Object{Share: "s-1", Group: "g.2", ID: segment.ID{Incarnation: rapid.Uint32().Draw(t, "i"), Session: rapid.Uint64().Draw(t, "s"), Sequence: rapid.Uint64().Draw(t, "q")}},
			size:   1 << 20}
		for range rapid.IntRange(1, 50).Draw(t, "spans") {
			from := rapid.Int64Range(0, 1000).Draw(t, "from")
			q.spans = append(q.spans, span{from, from + rapid.Int64Range(1, 1000).Draw(t, "length")})
		}
		b, err := appendPeerRequest(nil, &q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readPeerRequest(bytes.NewReader(b))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(q) {
			t.Fatalf("%v: %+v", err, got)
		}
	})
}

// FuzzPeerRequest: no frame panics, and what is accepted is within bounds.
func FuzzPeerRequest(f *testing.F) {
	b, err := appendPeerRequest(nil, &peerRequest{object: segment.Object{Share: "s", Group: "g"}, size: 100, spans: []span{{0, 10}, {20, 100}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:20])
	f.Add([]byte{0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readPeerRequest(bytes.NewReader(b))
		if err != nil {
			return
		}
		total := int64(0)
		for _, s := range q.spans {
			if s.from < 0 || s.size() <= 0 || s.to > int64(q.size) {
				t.Fatalf("range %v of %d", s, q.size)
			}
			total += s.size()
		}
		if total > peerMaxBytes {
			t.Fatalf("%d bytes", total)
		}
		again, err := appendPeerRequest(nil, &q)
		if err != nil || !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("decoded and encoded differ: %v", err)
		}
	})
}

// FuzzPeerAnswer: no answer panics or is larger than was asked for.
func FuzzPeerAnswer(f *testing.F) {
	f.Add(append(appendPeerHead(nil, peerOK, 4), 1, 2, 3, 4), int64(4))
	f.Add(append(appendPeerHead(nil, peerFailed, 3), "why"...), int64(4))
	f.Add(appendPeerHead(nil, peerOK, 1<<31), int64(4))
	f.Fuzz(func(t *testing.T, b []byte, want int64) {
		if want < 0 || want > 1<<16 {
			return
		}
		got, err := ReadPeerAnswer(bytes.NewReader(b), want, func() {})
		if err == nil && int64(len(got)) != want {
			t.Fatalf("%d bytes, asked for %d", len(got), want)
		}
	})
}

// TestPeerServerStops: Close ends connections that wait for requests.
func TestPeerServerStops(t *testing.T) {
	w := newWorld(t, "events")
	s := w.handler().PeerServer()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection lives")
	}
}
