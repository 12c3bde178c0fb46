package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/internal/wire/wiretest"
)

// TestAnswersInOrder completes requests in any order, answered in any way, and finds the answers in
// the order of the requests, each released once.
func TestAnswersInOrder(t *testing.T) {
	p := wiretest.NewPipes()
	type held struct {
		r     *Request
		reply func(Reply)
	}
	handed := make(chan held, 100)
	r := newRig(t, Default(), p, heartbeats(HandlerFunc(func(_ context.Context, r *Request, reply func(Reply)) {
		handed <- held{r, reply}
	})))
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(rt, "requests")
		kinds := rapid.SliceOfN(rapid.IntRange(0, 2), n, n).Draw(rt, "kinds")
		seed := rapid.Uint64().Draw(rt, "seed")
		c := p.Dial()
		defer c.Close()
		go func() {
			for i := range n {
				if _, err := c.Write(beat(int32(i))); err != nil {
					return
				}
			}
		}()
		var waiting []held
		var want []int32
		for i := range n {
			waiting = append(waiting, <-handed)
			if kinds[i] != 2 {
				want = append(want, int32(i))
			}
		}
		var done sync.WaitGroup
		done.Add(n)
		rng := rand.New(rand.NewPCG(seed, 0))
		rng.Shuffle(n, func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
		for _, h := range waiting {
			var reply Reply
			switch kinds[h.r.CorrelationID] {
			case 0:
				reply.Body = beatAnswer(h.r)
			case 1:
				b := beatAnswer(h.r)
				b.SetVersion(h.r.Version)
				body := b.AppendTo(nil)
				reply.Gathered = net.Buffers{body[:1], nil, body[1:]}
			case 2:
				reply.None = true
			}
			reply.Done = done.Done
			go h.reply(reply)
		}
		var got []int32
		for range want {
			id, body, err := answer(c)
			if err != nil {
				rt.Fatal(err)
			}
			resp := kmsg.NewPtrHeartbeatResponse()
			resp.Version = 4
			if err := resp.ReadFrom(body[1:]); err != nil || int32(resp.ErrorCode) != id {
				rt.Fatalf("answer %d holds %d, %v", id, resp.ErrorCode, err)
			}
			got = append(got, id)
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("answers in order %v, want %v", got, want)
		}
		done.Wait()
	})
	r.Server.Close()
	if used := r.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes are still charged", used)
	}
}

// TestPipelined reads on while requests wait, up to the bound, and loses none of ten thousand.
func TestPipelined(t *testing.T) {
	const n = 10_000
	cfg := Default()
	var inFlight, most atomic.Int64
	r := newRig(t, cfg, nil, heartbeats(HandlerFunc(func(_ context.Context, r *Request, reply func(Reply)) {
		if now := inFlight.Add(1); now > most.Load() {
			most.Store(now) // one connection has one reader
		}
		go func() {
			inFlight.Add(-1)
			reply(Reply{Body: beatAnswer(r)})
		}()
	})))
	c := r.dial()
	go func() {
		var b []byte
		for i := range n {
			b = append(b, beat(int32(i))...)
		}
		_, _ = c.Write(b) // the reader below notices what is missing
	}()
	for i := range n {
		id, _, err := answer(c)
		if err != nil || id != int32(i) {
			t.Fatalf("answer %d: %d, %v", i, id, err)
		}
	}
	if most.Load() > int64(cfg.MaxInFlight) {
		t.Errorf("%d requests were in flight, more than %d", most.Load(), cfg.MaxInFlight)
	}
}

// TestInFlightBound stops reading at the bound.
func TestInFlightBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := wiretest.NewPipes()
		cfg := Default()
		cfg.MaxInFlight = 3
		handed := make(chan func(), 100)
		newRig(t, cfg, p, heartbeats(HandlerFunc(func(_ context.Context, r *Request, reply func(Reply)) {
			handed <- func() { reply(Reply{Body: beatAnswer(r)}) }
		})))
		c := p.Dial()
		go func() {
			for i := range 5 {
				_, _ = c.Write(beat(int32(i)))
			}
		}()
		synctest.Wait()
		if len(handed) != 3 {
			t.Fatalf("%d requests were handed over, want 3", len(handed))
		}
		for i := range 5 {
			(<-handed)()
			if id, _, err := answer(c); err != nil || id != int32(i) {
				t.Fatalf("answer %d: %d, %v", i, id, err)
			}
		}
	})
}

// TestSerial runs the requests of a connection one at a time, whatever handler they go to.
func TestSerial(t *testing.T) {
	var order []string
	var running atomic.Int32
	serve := func(_ context.Context, r *Request) (kmsg.Response, error) {
		if running.Add(1) != 1 {
			t.Error("two at a time")
		}
		defer running.Add(-1)
		order = append(order, fmt.Sprintf("%s %d", r.name(), r.CorrelationID))
		if r.CorrelationID == 4 {
			return nil, errors.New("no")
		}
		return r.Body.ResponseKind(), nil
	}
	r := newRig(t, Default(), nil, heartbeats(Serial(serve)),
		API{Key: int16(kmsg.LeaveGroup), Max: 5, Handler: Serial(serve)})
	c := r.dial()
	var b []byte
	for i := range int32(6) {
		if i%2 == 0 {
			b = append(b, beat(i)...)
		} else {
			b = append(b, request(kmsg.NewPtrLeaveGroupRequest(), 5, i)...)
		}
	}
	mustSend(t, c, b)
	for i := range int32(4) {
		if id, _, err := answer(c); err != nil || id != i {
			t.Fatalf("answer %d: %d, %v", i, id, err)
		}
	}
	if _, _, err := answer(c); err == nil {
		t.Fatal("a failed request was answered")
	}
	r.Server.Close()
	want := []string{"Heartbeat 0", "LeaveGroup 1", "Heartbeat 2", "LeaveGroup 3", "Heartbeat 4"}
	if !slices.Equal(order[:5], want) {
		t.Errorf("served %v, want %v", order, want)
	}
}

// TestDrain answers what was read, reads nothing more, and closes.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := wiretest.NewPipes()
		handed := make(chan *Request, 1)
		var reply func(Reply)
		r := newRig(t, Default(), p, heartbeats(HandlerFunc(func(_ context.Context, r *Request, rep func(Reply)) {
			reply = rep
			handed <- r
		})))
		busy, half, idle := p.Dial(), p.Dial(), p.Dial()
		mustSend(t, busy, beat(7))
		req := <-handed
		mustSend(t, half, beat(8)[:9])
		drained := make(chan error, 1)
		go func() { drained <- r.Drain(t.Context()) }()
		<-req.Conn.Draining()
		for _, c := range []net.Conn{half, idle} {
			if _, err := io.ReadAll(c); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if len(drained) != 0 {
			t.Fatal("drained while a request was unanswered")
		}
		reply(Reply{Body: beatAnswer(req)})
		if id, _, err := answer(busy); err != nil || id != 7 {
			t.Fatalf("answer while draining: %d, %v", id, err)
		}
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
		<-req.Conn.Done()
	})
}

// TestDisconnect closes what is open, and goes on serving.
func TestDisconnect(t *testing.T) {
	asked := make(chan struct{}, 1)
	r := newRig(t, Default(), nil, heartbeats(HandlerFunc(func(ctx context.Context, req *Request, reply func(Reply)) {
		if req.Body.(*kmsg.HeartbeatRequest).Generation == 0 {
			asked <- struct{}{}
			<-ctx.Done() // never answered
			reply(Reply{Close: true})
			return
		}
		echo(ctx, req, reply)
	})))
	c := r.dial()
	mustSend(t, c, beat(0))
	<-asked
	if n := r.Disconnect(); n != 1 {
		t.Errorf("%d connections closed", n)
	}
	_ = c.SetReadDeadline(time.Now().Add(60 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	again := r.dial()
	mustSend(t, again, beat(7))
	if id, _, err := answer(again); id != 7 || err != nil {
		t.Errorf("a new connection is answered %d, %v", id, err)
	}
}

// TestDrainTimeout gives up what is not answered in time.
func TestDrainTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := wiretest.NewPipes()
		done := make(chan struct{})
		handed := make(chan func(Reply), 1)
		r := newRig(t, Default(), p, heartbeats(HandlerFunc(func(_ context.Context, _ *Request, reply func(Reply)) { handed <- reply })))
		c := p.Dial()
		mustSend(t, c, beat(7))
		reply := <-handed
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Drain(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("drain: %v", err)
		}
		reply(Reply{Body: kmsg.NewPtrHeartbeatResponse(), Done: func() { close(done) }})
		<-done
		if used := r.budget.used.Load(); used != 0 {
			t.Errorf("%d bytes are still charged", used)
		}
	})
}

// TestCloseReply writes what is due and closes, with an answer or without.
func TestCloseReply(t *testing.T) {
	for _, with := range []bool{true, false} {
		r := newRig(t, Default(), nil, heartbeats(HandlerFunc(func(_ context.Context, r *Request, reply func(Reply)) {
			rep := Reply{Close: r.CorrelationID == 2}
			if with || !rep.Close {
				rep.Body = beatAnswer(r)
			}
			reply(rep)
		})))
		c := r.dial()
		mustSend(t, c, slices.Concat(beat(1), beat(2), beat(3)))
		want := []int32{1}
		if with {
			want = append(want, 2)
		}
		for _, w := range want {
			if id, _, err := answer(c); err != nil || id != w {
				t.Fatalf("answer %d: %d, %v", w, id, err)
			}
		}
		if _, _, err := answer(c); err == nil {
			t.Fatal("answered after the close")
		}
	}
}

// TestGone ends the context of a request whose client has left.
func TestGone(t *testing.T) {
	p := wiretest.NewPipes()
	handed, gone := make(chan struct{}), make(chan struct{})
	newRig(t, Default(), p, heartbeats(HandlerFunc(func(ctx context.Context, r *Request, reply func(Reply)) {
		close(handed)
		go func() {
			<-ctx.Done()
			reply(Reply{None: true, Done: func() { close(gone) }})
		}()
	})))
	c := p.Dial()
	mustSend(t, c, beat(1))
	<-handed
	c.Close()
	<-gone
}
