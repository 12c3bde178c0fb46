package fetch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
	"github.com/isthmusdata/isthmus/internal/wire/wiretest"
)

// TestWaitingIsBounded lets clients send requests that would wait for minutes, more of them than may: those that have
// waited longest are answered, with nothing, and a consumer that waits as consumers do gets its records.
func TestWaitingIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events", "other")
		h := w.handler(func(c *Config, _ *Deps) { c.MaxWaitingPartitions = 10 })
		patient := func() *kmsg.FetchRequest {
			return w.request(11, math.MaxInt32, math.MaxInt32, 1<<20, ask{"other", 0, 0, 1 << 20}, ask{"other", 1, 0, 1 << 20})
		}
		held := func() int { h.mu.Lock(); defer h.mu.Unlock(); return h.parked.held }
		start := time.Now()
		answered := make(chan time.Duration, 100)
		for range 5 {
			go func() { serve(t, h, patient()); answered <- time.Since(start) }()
		}
		time.Sleep(time.Second) // virtual: they all wait
		if len(answered) != 0 || held() != 10 {
			t.Fatalf("%d were answered, %d partitions are held", len(answered), held())
		}
		go func() {
			time.Sleep(100 * time.Millisecond)
			for range 20 {
				go func() { serve(t, h, patient()); answered <- time.Since(start) }()
			}
			time.Sleep(100 * time.Millisecond)
			w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(1, 1, 100)}})
		}()
		asked, got := 0, 0
		for ; got == 0 && asked < 10; asked++ {
			p := only(t, serve(t, h, w.request(11, 500, 1, 1<<20, ask{"events", 0, 0, 1 << 20})))
			if got = len(p.RecordBatches); p.ErrorCode != 0 {
				t.Errorf("code %d", p.ErrorCode)
			}
		}
		if took := time.Since(start); got == 0 || took != 1200*time.Millisecond {
			t.Errorf("the consumer got %d bytes after %s and %d requests", got, took, asked)
		}
		synctest.Wait()
		if held() > 10 || len(answered) < 20 || len(answered) > 21 {
			t.Errorf("%d were answered, %d partitions are held", len(answered), held())
		}
		time.Sleep(h.cfg.MaxWait) // virtual
		synctest.Wait()
		if len(answered) != 25 || held() != 0 || h.parked.order.Len() != 0 {
			t.Errorf("%d were answered, %d partitions are held", len(answered), held())
		}
	})
}

// TestUnknownNamesAreOneQuestion: thousands of names that no topic has are looked up together.
func TestUnknownNamesAreOneQuestion(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		w.slowLookups = time.Millisecond
		h := w.handler()
		asks := make([]ask, 1000)
		for i := range asks {
			asks[i] = ask{fmt.Sprintf("no-%d", i), 0, 0, 1}
		}
		for _, p := range serve(t, h, w.request(11, 0, 0, 1<<20, asks...)).Topics {
			if p.Partitions[0].ErrorCode != codeUnknownTopic {
				t.Fatalf("code %d", p.Partitions[0].ErrorCode)
			}
		}
		if w.lookups > 10 {
			t.Errorf("%d questions", w.lookups)
		}
	})
}

// TestSessionsOfAConnection: one connection does not take the sessions of all, and those of one that has gone are
// the first to make room.
func TestSessionsOfAConnection(t *testing.T) {
	cfg := Default()
	cfg.MaxSessions, cfg.MaxConnSessions = 6, 2
	ss := newSessions(&cfg)
	id := int32(0)
	w := newWorld(t, "events")
	begin := func(now time.Duration, conn uint64) *session {
		req := w.request(11, 0, 0, 1<<20, ask{"events", 0, 0, 1 << 20})
		req.Version, req.SessionEpoch = 11, epochInitial
		s, _, _ := ss.begin(now, client{"p", conn}, req, func() int32 { id++; return id })
		return s
	}
	for range 10 {
		begin(0, 1)
	}
	if len(ss.byID) != 2 {
		t.Errorf("one connection has %d sessions", len(ss.byID))
	}
	begin(0, 2)
	begin(0, 2)
	begin(0, 3)
	begin(0, 3)
	if s := begin(time.Second, 4); s != nil {
		t.Error("there was room for another")
	}
	ss.orphan(2)
	if s := begin(time.Second, 4); s == nil {
		t.Error("a client that has gone keeps its sessions")
	}
	if s := begin(time.Second, 5); s == nil {
		t.Error("a client that has gone keeps its second session")
	}
	if s := begin(time.Second, 6); s != nil {
		t.Error("clients that live lost their sessions")
	}
	for _, s := range ss.byID {
		if s.from.conn == 2 {
			t.Error("a session of the one that has gone is left")
		}
	}
	if len(ss.byID) != 6 || ss.recent.Len() != 6 || ss.parts != 6 || len(ss.byConn) != 4 {
		t.Errorf("%d sessions, %d in order, %d partitions, %d connections", len(ss.byID), ss.recent.Len(), ss.parts, len(ss.byConn))
	}
}

// TestAnswersOfManySmallBatchesAreBounded: what one request reads at once, and what all answers copy, is bounded;
// every record is read all the same.
func TestAnswersOfManySmallBatchesAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler(func(c *Config, _ *Deps) { c.MaxRequestLocations, c.CopiedBytes = 5, 1 })
		asks := make([]ask, 4)
		for i := range asks {
			asks[i] = ask{"events", int32(i), 0, 1 << 20}
		}
		serve(t, h, w.request(11, 0, 0, 1<<20, asks...)) // they are watched
		for range 20 {
			for i := range asks {
				w.produce(frame{w.partition("events", int32(i)), []record.Batch{batchOf(1, 1, 10)}})
			}
		}
		synctest.Wait()
		requests, got := 0, 0
		var lent int64
		for ; got < 80 && requests < 200; requests++ {
			replies := make(chan wire.Reply, 1)
			req := w.request(11, 0, 1, 1<<20, asks...)
			h.Serve(t.Context(), &wire.Request{Key: 1, Version: 11, Body: req}, func(r wire.Reply) { replies <- r })
			reply := <-replies
			lent = max(lent, h.scratch.lent.Load())
			resp := kmsg.NewPtrFetchResponse()
			resp.Version = 11
			if err := resp.ReadFrom(bytes.Join(reply.Gathered, nil)); err != nil {
				t.Fatal(err)
			}
			reply.Done()
			before := got
			for _, p := range resp.Topics[0].Partitions {
				for b := p.RecordBatches; len(b) > 0; {
					first, rest, err := record.Split(b)
					if err != nil {
						t.Fatal(err)
					}
					asks[p.Partition].offset += topic.Offset(first.NumRecords())
					b, got = rest, got+1
				}
			}
			if got == before {
				t.Fatal("an answer without a record")
			}
		}
		if got != 80 || lent > 2*scratchSize || h.scratch.lent.Load() != 0 {
			t.Errorf("%d batches in %d requests, %d bytes were lent, %d are", got, requests, lent, h.scratch.lent.Load())
		}
	})
}

// TestPipelinedFetches: of many requests of one connection only the last waits for records, whatever they ask; and
// none is looked at before those in front of it are answered.
func TestPipelinedFetches(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		p := wiretest.NewPipes()
		server, err := wire.NewServer(wire.Default(), wire.Deps{}, []wire.API{API(h)})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- server.Serve(p) }()
		conn := p.Dial()
		format := kmsg.NewRequestFormatter()
		start := time.Now()
		for i := range int32(8) {
			req := w.request(11, 60_000, 1, 1<<20, ask{"events", 0, 0, 1 << 20})
			if _, err := conn.Write(format.AppendRequest(nil, req, i)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range int32(8) {
			var head [8]byte
			if _, err := io.ReadFull(conn, head[:]); err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(head[:]))-4); err != nil {
				t.Fatal(err)
			}
			if id := int32(binary.BigEndian.Uint32(head[4:])); id != i {
				t.Errorf("answer %d is that of request %d", i, id)
			}
			if took := time.Since(start); (took >= time.Minute) != (i == 7) {
				t.Errorf("answer %d came after %s", i, took)
			}
		}
		conn.Close()
		server.Close()
		<-served
	})
}

// TestSessionsOfConnectionsThatGo begins sessions on connections that end meanwhile: nothing waits for anything, and their
// sessions are the first to make room.
func TestSessionsOfConnectionsThatGo(t *testing.T) {
	w := newWorld(t, "events")
	h := w.handler()
	l, err := wire.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	server, err := wire.NewServer(wire.Default(), wire.Deps{}, []wire.API{API(h)})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	req := w.request(11, 0, 0, 1<<20, ask{"events", 0, 0, 1 << 20})
	req.SessionEpoch = epochInitial
	begins := kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 100 {
				conn, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := conn.Write(begins); err != nil {
					t.Error(err)
				}
				conn.Close() // before its answer, often before its session
			}
		})
	}
	clients.Wait()
	server.Close()
	<-served
	kept := func() (n int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, s := range h.sessions.byID {
			if s.used != long {
				n++
			}
		}
		return n
	}
	// A session may be begun when its connection has ended already.
	for deadline := time.Now().Add(time.Minute); kept() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions of connections that have gone are kept like others", kept())
		}
	}
}
