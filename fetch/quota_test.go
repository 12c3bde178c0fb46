package fetch

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/quota"
	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
	"github.com/isthmusdata/isthmus/internal/wire/wiretest"
)

// TestAQuotaIsKeptInFetchAnswers: who is over it gets no records, but the truth about the ends, is told how long to wait, and reads on
// where it was when that is over.
func TestAQuotaIsKeptInFetchAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(1, 10, 500), batchOf(2, 10, 500), batchOf(3, 10, 500)}})
		server, err := wire.NewServer(wire.Default(), wire.Deps{}, []wire.API{API(h)})
		if err != nil {
			t.Fatal(err)
		}
		pipes := wiretest.NewPipes()
		served := make(chan error, 1)
		go func() { served <- server.Serve(pipes) }()
		defer func() { server.Close(); <-served }()
		server.SetQuota(quota.Limits{BytesOut: 1_000})

		conn := pipes.Dial()
		offset := int64(0)
		next := func() (got kmsg.FetchResponseTopicPartition, wait time.Duration) {
			t.Helper()
			req := w.request(12, 10, 1, 1<<20, ask{topic: "events", offset: topic.Offset(offset), maxBytes: 1 << 20})
			resp := exchange(t, conn, req)
			return only(t, resp), time.Duration(resp.ThrottleMillis) * time.Millisecond
		}
		for i := range 3 { // each batch is more than a burst, and goes alone
			p, wait := next()
			if p.ErrorCode != 0 || len(p.RecordBatches) < 5_000 || len(p.RecordBatches) > 6_000 || p.HighWatermark != 30 || wait < 4*time.Second {
				t.Fatalf("answer %d: code %d, %d bytes, high watermark %d, wait %s", i, p.ErrorCode, len(p.RecordBatches), p.HighWatermark, wait)
			}
			offset += 10
			other := pipes.Dial()
			req := w.request(12, 10, 1, 1<<20, ask{topic: "events", maxBytes: 1 << 20})
			if q := only(t, exchange(t, other, req)); len(q.RecordBatches) != 0 || q.ErrorCode != 0 || q.HighWatermark != 30 {
				t.Fatalf("in debt another connection gets code %d, %d bytes, high watermark %d", q.ErrorCode, len(q.RecordBatches), q.HighWatermark)
			}
			_ = other.Close()
			time.Sleep(wait + time.Second)
		}
	})
}

// exchange sends a request over a connection and decodes its answer.
func exchange(t *testing.T, c net.Conn, req *kmsg.FetchRequest) *kmsg.FetchResponse {
	t.Helper()
	if _, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)); err != nil {
		t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, raw); err != nil {
		t.Fatal(err)
	}
	resp := kmsg.NewPtrFetchResponse()
	resp.SetVersion(req.Version)
	if err := resp.ReadFrom(raw[5:]); err != nil { // correlation id, no tags
		t.Fatal(err)
	}
	return resp
}

// TestUsageIsCounted: bytes and records as they were answered, of each topic, once.
func TestUsageIsCounted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events", "orders")
		h := w.handler()
		w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(1, 10, 500), batchOf(2, 7, 20)}}, frame{w.partition("orders", 1), []record.Batch{batchOf(3, 3, 100)}})
		if got := h.TakeUsage(); len(got) != 0 {
			t.Errorf("of nothing: %+v", got)
		}
		want := map[topic.ID]Usage{}
		for _, a := range []ask{{"events", 0, 0, 1 << 20}, {"events", 0, 12, 1 << 20}, {"orders", 1, 0, 1 << 20}, {"orders", 1, 3, 1 << 20}} {
			p := only(t, serve(t, h, w.request(12, 10, 1, 1<<20, a)))
			u := want[w.partition(a.topic, 0).Topic]
			u.Topic = w.partition(a.topic, 0).Topic
			u.Bytes += int64(len(p.RecordBatches))
			for rest := p.RecordBatches; len(rest) > 0; {
				b, more, err := record.Split(rest)
				if err != nil {
					t.Fatal(err)
				}
				u.Records += int64(b.NumRecords())
				rest = more
			}
			want[u.Topic] = u
		}
		got := map[topic.ID]Usage{}
		for _, u := range h.TakeUsage() {
			got[u.Topic] = u
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(got) != 2 || want[w.partition("events", 0).Topic].Records != 24 {
			t.Errorf("counted %+v; wanted %+v", got, want)
		}
		if again := h.TakeUsage(); len(again) != 0 {
			t.Errorf("counted twice: %+v", again)
		}
	})
}
