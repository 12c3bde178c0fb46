package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire/wiretest"
)

// TestHostileFrames sends what no Kafka client sends. Each closes its own connection, with a reason
// that a person can act on, and leaves the server as it was.
func TestHostileFrames(t *testing.T) {
	head := func(key, version int16, rest ...byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		return frame(append(append(b, 0, 0, 0, 7), rest...)...)
	}
	produce := func(rest ...byte) []byte {
		return head(0, 9, append([]byte{0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 1}, rest...)...)
	}
	for _, c := range []struct {
		name   string
		send   []byte
		reason string
		log    string
	}{
		{"negative length", []byte{0xff, 0xff, 0xff, 0xff}, "bad_frame", "negative frame length -1"},
		{"zero length", []byte{0, 0, 0, 0}, "bad_frame", "too short"},
		{"shorter than a header", frame(0, 18, 0, 0, 0, 0, 0), "bad_frame", "too short"},
		{"oversized", []byte{0x7f, 0xff, 0xff, 0xff}, "bad_frame", "over the limit of 104857600"},
		{"oversized for its kind", append([]byte{0x01, 0x80, 0, 0}, head(12, 4)[4:]...), "bad_frame", "Heartbeat request of 25165824 bytes"},
		{"tls hello", []byte{0x16, 0x03, 0x01, 0x02, 0, 1}, "bad_frame", "speaks TLS"},
		{"http", []byte("GET / HTTP/1.1\r\n\r\n"), "bad_frame", "speaks HTTP"},
		{"unknown key", head(999, 0), "unknown_request", "key 999"},
		{"negative key", head(-1, 0), "unknown_request", "key -1"},
		{"key not served", head(4, 0), "unknown_request", "key 4"},
		{"version too high", head(12, 5), "unsupported_version", "Heartbeat version 5"},
		{"version negative", head(12, -1), "unsupported_version", "Heartbeat version -1"},
		{"fetch before record batches", head(1, 3), "unsupported_version", "4 to 17"},
		{"no client id", head(12, 4), "malformed", "header cut short"},
		{"client id beyond the frame", head(12, 4, 0x7f, 0xff, 'a'), "malformed", "header cut short"},
		{"header tags beyond the frame", head(12, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f), "malformed", "malformed tags"},
		{"no body", head(12, 4, 0xff, 0xff, 0), "malformed", "malformed request body"},
		{"string beyond the frame", head(12, 0, 0xff, 0xff, 0x7f, 0xff), "malformed", "malformed request body"},
		{"array bomb", head(3, 0, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff), "malformed", "malformed request body"},
		{"compact array bomb", head(3, 9, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0x0f), "malformed", "malformed request body"},
		{"tag bomb", head(3, 9, 0xff, 0xff, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f), "malformed", "malformed request body"},
		{"produce topic bomb", produce(0xff, 0xff, 0xff, 0xff, 0x0f), "malformed", "malformed request body"},
		{"produce partition bomb", produce(2, 2, 'a', 0xff, 0xff, 0xff, 0xff, 0x0f), "malformed", "malformed request body"},
		{"produce of many empty partitions", emptyPartitions(10_000), "malformed", "more partitions than it can hold"},
		{"produce records beyond the frame", produce(2, 2, 'a', 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f), "malformed", "malformed request body"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Default(), nil, heartbeats(HandlerFunc(echo)), ProduceAPI(HandlerFunc(echo)), FetchAPI(HandlerFunc(echo)),
				API{Key: int16(kmsg.Metadata), Max: 13, Handler: HandlerFunc(echo)})
			conn := r.dial()
			// What came before is still answered.
			mustSend(t, conn, append(beat(1), c.send...))
			if id, _, err := answer(conn); err != nil || id != 1 {
				t.Fatalf("answer before the bad frame: %d, %v", id, err)
			}
			if rest := readAll(t, conn); len(rest) != 0 {
				t.Errorf("answered %x", rest)
			}
			r.Server.Close()
			if got := testutil.ToFloat64(r.metrics.refused.WithLabelValues(c.reason)); got != 1 {
				t.Errorf("refused{reason=%q} = %v; log: %s", c.reason, got, r.logs)
			}
			if !strings.Contains(r.logs.String(), c.log) {
				t.Errorf("log does not say %q: %s", c.log, r.logs)
			}
			if used := r.budget.used.Load(); used != 0 {
				t.Errorf("%d bytes are still charged", used)
			}
		})
	}
}

func emptyPartitions(n int) []byte {
	req := kmsg.NewPtrProduceRequest()
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "t"
	topic.Partitions = make([]kmsg.ProduceRequestTopicPartition, n)
	req.Topics = append(req.Topics, topic)
	return request(req, 9, 7)
}

// TestHalfSent waits for the rest of a frame for so long, and no longer.
func TestHalfSent(t *testing.T) {
	whole := beat(1)
	for cut := 1; cut < len(whole); cut++ {
		synctest.Test(t, func(t *testing.T) {
			p := wiretest.NewPipes()
			r := newRig(t, Default(), p, heartbeats(HandlerFunc(echo)))
			c := p.Dial()
			start := time.Now()
			mustSend(t, c, whole[:cut])
			if _, err := io.ReadAll(c); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < 29*time.Second || took > 62*time.Second {
				t.Errorf("closed after %s", took)
			}
			if got := testutil.ToFloat64(r.metrics.refused.WithLabelValues("slow_frame")); got != 1 {
				t.Errorf("refused slow_frame = %v", got)
			}
		})
	}
}

// TestIdle closes a connection that does nothing, unless an answer is still owed.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := wiretest.NewPipes()
		held := make(chan func(), 1)
		newRig(t, Default(), p, heartbeats(HandlerFunc(func(_ context.Context, r *Request, reply func(Reply)) {
			held <- func() { reply(Reply{Body: beatAnswer(r)}) }
		})))
		c := p.Dial()
		start := time.Now()
		mustSend(t, c, beat(1))
		release := <-held
		time.Sleep(25 * time.Minute) // virtual: the request is parked
		release()
		if _, _, err := answer(c); err != nil {
			t.Fatalf("a parked request was dropped: %v", err)
		}
		if _, err := io.ReadAll(c); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 41*time.Minute {
			t.Errorf("closed after %s", took)
		}
	})
}

// TestSlowReader closes a connection whose peer takes no answers, and releases what it held.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := wiretest.NewPipes()
		done := 0
		r := newRig(t, Default(), p, heartbeats(HandlerFunc(func(_ context.Context, r *Request, reply func(Reply)) {
			reply(Reply{Gathered: net.Buffers{make([]byte, 1<<20), make([]byte, 1<<20)}, Done: func() { done++ }})
		})))
		c := p.Dial()
		mustSend(t, c, beat(1))
		if _, err := io.CopyN(io.Discard, c, 1000); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // virtual
		synctest.Wait()
		if got := testutil.ToFloat64(r.metrics.refused.WithLabelValues("slow_reader")); got != 1 {
			t.Errorf("refused slow_reader = %v", got)
		}
		if done != 1 || r.budget.used.Load() != 0 {
			t.Errorf("done %d times, %d bytes charged", done, r.budget.used.Load())
		}
	})
}

// TestSteadyReader serves a peer that is slow but takes something in time.
func TestSteadyReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := wiretest.NewPipes()
		newRig(t, Default(), p, heartbeats(HandlerFunc(func(_ context.Context, r *Request, reply func(Reply)) {
			reply(Reply{Gathered: net.Buffers{bytes.Repeat([]byte{1}, 1000), bytes.Repeat([]byte{2}, 1000)}})
		})))
		c := p.Dial()
		mustSend(t, c, beat(1))
		got := make([]byte, 0, 2100)
		for len(got) < 4+4+1+2000 {
			time.Sleep(20 * time.Second) // virtual
			b := make([]byte, 100)
			n, err := c.Read(b)
			if err != nil {
				t.Fatalf("after %d bytes: %v", len(got), err)
			}
			got = append(got, b[:n]...)
		}
		if !bytes.Equal(got[9:1009], bytes.Repeat([]byte{1}, 1000)) || !bytes.Equal(got[1009:], bytes.Repeat([]byte{2}, 1000)) {
			t.Error("bytes were repeated or lost at a deadline")
		}
	})
}

// TestTooManyConnections closes the one too many, and takes a new one when one has left.
func TestTooManyConnections(t *testing.T) {
	cfg := Default()
	cfg.MaxConnections = 2
	r := newRig(t, cfg, nil, heartbeats(HandlerFunc(echo)))
	use := func(c net.Conn) error {
		if _, err := c.Write(beat(1)); err != nil {
			return err
		}
		_, _, err := answer(c)
		return err
	}
	a, b := r.dial(), r.dial()
	if err := errors.Join(use(a), use(b)); err != nil {
		t.Fatal(err)
	}
	if err := use(r.dial()); err == nil {
		t.Fatal("a third connection was served")
	}
	if !strings.Contains(r.logs.String(), "too many are open") {
		t.Errorf("log: %s", r.logs)
	}
	a.Close()
	for use(r.dial()) != nil { // until the server has seen that a has left
	}
}

// TestBudget reads no more while what was read fills the memory cap, and goes on when it is freed.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := wiretest.NewPipes()
		cfg := Default()
		cfg.MaxFrame, cfg.MaxMemory = 100_000, 100_000
		type held struct {
			reply   func(Reply)
			release func()
		}
		handed := make(chan held, 10)
		r := newRig(t, cfg, p, ProduceAPI(HandlerFunc(func(_ context.Context, r *Request, reply func(Reply)) {
			handed <- held{reply, r.Hold()}
		})))
		big := kmsg.NewPtrProduceRequest()
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic = "t"
		part := kmsg.NewProduceRequestTopicPartition()
		part.Records = make([]byte, 60_000)
		topic.Partitions = append(topic.Partitions, part)
		big.Topics = append(big.Topics, topic)
		first, second := p.Dial(), p.Dial()
		mustSend(t, first, request(big, 9, 1))
		h := <-handed
		go func() { _, _ = second.Write(request(big, 9, 2)) }()
		synctest.Wait()
		if len(handed) != 0 {
			t.Fatal("read past the memory cap")
		}
		h.reply(Reply{Body: kmsg.NewPtrProduceResponse()})
		if _, _, err := answer(first); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(handed) != 0 {
			t.Fatal("a held frame was released with its answer")
		}
		h.release()
		h.release() // again: nothing
		h = <-handed
		h.release()
		h.reply(Reply{Close: true})
		if _, err := io.ReadAll(second); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Fatal(err)
		}
		synctest.Wait()
		if used := r.budget.used.Load(); used != 0 {
			t.Errorf("%d bytes are still charged", used)
		}
	})
}
