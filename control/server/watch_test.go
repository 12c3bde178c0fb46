package server

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/control/hub/hubtest"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// TestWatchJoinsBetweenTwoPlacements subscribes again and again while commits are placed, and lets each
// watch run to the end: it must see every offset from the end it was first told.
func TestWatchJoinsBetweenTwoPlacements(t *testing.T) {
	b := newBed(t)
	b.start()
	p := b.agent("producer", control.RoleProduce)
	f := b.agent("fetcher", control.RoleFetch)
	id := p.topic(t, "events")
	parts := []topic.Partition{{Topic: id.ID}}
	const commits = 400
	var watchers sync.WaitGroup
	for range 8 {
		watchers.Go(func() {
			w, err := f.Watch(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Close()
			if err := w.Add(parts); err != nil {
				t.Error(err)
				return
			}
			var r hubtest.Reader
			for r.End < commits {
				events, err := w.Recv()
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range events {
					r.Read(t, e)
				}
			}
		})
	}
	s := p.commits(t)
	for i := range uint64(commits) {
		if r := send(t, s, p.commit(i+1, parts[0], 1)); r.Outcome != segment.Answered {
			t.Fatalf("%+v", r)
		}
	}
	watchers.Wait()
}

func TestWatchTellsWhatIsNotThere(t *testing.T) {
	b := newBed(t)
	b.start()
	p := b.agent("producer", control.RoleProduce)
	f := b.agent("fetcher", control.RoleFetch)
	known := topic.Partition{Topic: p.topic(t, "events").ID}
	absent := topic.Partition{Topic: topic.ID{9}}
	for _, c := range []struct {
		who     *agent
		p       topic.Partition
		removed bool
	}{{f, known, false}, {f, absent, true}} {
		w, err := c.who.Watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		if err := w.Add([]topic.Partition{c.p}); err != nil {
			t.Fatal(err)
		}
		events, err := w.Recv()
		if err != nil || len(events) != 1 || events[0].Removed != c.removed || events[0].Partition != c.p {
			t.Errorf("session %d, %s: %+v %v", c.who.grant.Session, c.p, events, err)
		}
	}
	if _, err := p.Watch(t.Context()); !errors.Is(err, client.ErrDenied) {
		t.Errorf("a producer watches: %v", err)
	}
}

// TestWatchAfterRestart: the stream ends with its node; another one begins with the ends.
func TestWatchAfterRestart(t *testing.T) {
	b := newBed(t)
	b.start()
	p := b.agent("producer", control.RoleProduce)
	f := b.agent("fetcher", control.RoleFetch)
	part := topic.Partition{Topic: p.topic(t, "events").ID}
	send(t, p.commits(t), p.commit(1, part, 5))
	w, err := f.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.stop()
	for err == nil {
		_, err = w.Recv()
	}
	b.start()
	if w, err = f.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Add([]topic.Partition{part}); err != nil {
		t.Fatal(err)
	}
	if events, err := w.Recv(); err != nil || events[0].HighWatermark != 5 {
		t.Errorf("first event: %+v %v", events, err)
	}
	if err := w.Remove([]topic.Partition{part}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the removal arrives", func() bool {
		return b.node.service.hub.Watched() == 0
	})
}

// TestWatchEndsWithItsSession, and the membership's next session opens another.
func TestMembershipOutlivesItsSessions(t *testing.T) {
	b := newBed(t)
	b.start()
	var mu sync.Mutex
	var grants, ended []uint64
	cl := b.dial()
	m := client.NewMembership(cl, client.LoginRequest{Agent: "a", Group: "g", Roles: []string{control.RoleFetch}}, client.Hooks{
		Granted: func(g client.Grant) { mu.Lock(); grants = append(grants, g.Session); mu.Unlock() },
		Ended:   func(s uint64) { mu.Lock(); ended = append(ended, s); mu.Unlock() },
		Seeds:   func([]string) {},
	}, quiet())
	run := make(chan error, 1)
	ctx, cancel := contextOf(t)
	go func() { run <- m.Run(ctx) }()
	first, err := m.Grant(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := m.Grant(t.Context()); err != nil || again.Session != first.Session {
		t.Fatalf("a second login beside the first: %+v %v", again, err)
	}
	// The agent itself ends it: the loop logs in again, and nobody is told what he did.
	if err := m.EndSession(t.Context(), first.Session); err != nil {
		t.Fatal(err)
	}
	second, err := m.Grant(t.Context())
	if err != nil || second.Session == first.Session || second.NodeID != first.NodeID {
		t.Fatalf("after the end: %+v %v", second, err)
	}
	if cl.Session() != second.Session {
		t.Errorf("calls name session %d, the live one is %d", cl.Session(), second.Session)
	}
	cancel()
	if err := <-run; err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Contains(grants, second.Session) || len(ended) > 0 {
		t.Errorf("grants %v, ended %v", grants, ended)
	}
}

// TestSilentWatchEndsWithItsSession: an agent that was stopped past its lease and goes on hears of it on a stream
// over which it has nothing to say; otherwise its partitions would stand still for ever.
func TestSilentWatchEndsWithItsSession(t *testing.T) {
	b := newBed(t)
	b.config.Raft.Limits.Lease, b.config.Raft.Limits.Heartbeat = 100*time.Millisecond, 10*time.Millisecond
	b.start()
	part := topic.Partition{Topic: (&agent{Client: b.dial()}).topic(t, "events").ID}
	silent := b.agent("silent", control.RoleFetch)
	w, err := silent.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Add([]topic.Partition{part}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = w.Recv()
	}
	if !errors.Is(err, client.ErrSessionEnded) {
		t.Errorf("the watch ends with %v", err)
	}
	eventually(t, "nothing is watched", func() bool {
		return b.node.service.hub.Watched() == 0
	})
}
