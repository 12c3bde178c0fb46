package server

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

func TestLeases(t *testing.T) {
	l := newLeases(12 * time.Second)
	l.grant(7, 0)
	l.grant(5, 3*time.Second)
	if got := l.expired(11 * time.Second); len(got) > 0 {
		t.Errorf("expired early: %v", got)
	}
	if got := l.expired(12 * time.Second); fmt.Sprint(got) != "[7]" {
		t.Errorf("expired %v", got)
	}
	l.grant(7, 12*time.Second)
	if got := l.expired(15 * time.Second); fmt.Sprint(got) != "[5]" {
		t.Errorf("after a heartbeat of 7: %v", got)
	}
	if got := l.expired(30 * time.Second); fmt.Sprint(got) != "[5 7]" {
		t.Errorf("not in order: %v", got)
	}
	l.drop(5)
	l.reset([]uint64{9}, 0)
	if got := l.expired(time.Hour); fmt.Sprint(got) != "[9]" {
		t.Errorf("after an election: %v", got)
	}
}

// TestSilentSessionEnds: nothing but a command ends a session, and a lease that has run out proposes it.
func TestSilentSessionEnds(t *testing.T) {
	b := newBed(t)
	b.config.Raft.Limits.Lease, b.config.Raft.Limits.Heartbeat = 100*time.Millisecond, 10*time.Millisecond
	b.start()
	operator := &agent{Client: b.dial()}
	part := topic.Partition{Topic: operator.topic(t, "events").ID}
	silent := b.agent("silent", control.RoleProduce)

	var ended atomic.Uint64
	m := client.NewMembership(b.dial(), client.LoginRequest{Agent: "kept", Group: "g"}, client.Hooks{
		Granted: func(client.Grant) {}, Ended: func(s uint64) { ended.Store(s) }, Seeds: func([]string) {},
	}, quiet())
	ctx, cancel := contextOf(t)
	defer cancel()
	go m.Run(ctx)
	kept, err := m.Grant(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the silent session ends", func() bool { return b.ended(silent.grant.Session) })
	if r := send(t, silent.commits(t), silent.commit(1, part, 1)); r.Outcome != segment.SessionEnded {
		t.Errorf("a commit after the lease: %+v", r)
	}
	if testutil.ToFloat64(b.node.service.m.expired) < 1 {
		t.Error("not counted")
	}
	if b.ended(kept.Session) != (ended.Load() == kept.Session) { // a slow machine may lose it, but then it is told
		t.Error("a session that is kept ended without its agent hearing of it")
	}
}

func (b *bed) ended(session uint64) (ended bool) {
	b.node.Peek(func(s *control.State) {
		x, ok := s.Session(session)
		ended = !ok || x.Ended
	})
	return ended
}

// TestElectionRenewsLeases: the time the control plane was away does not count against its agents.
func TestElectionRenewsLeases(t *testing.T) {
	b := newBed(t)
	b.start()
	a := b.agent("a", control.RoleProduce)
	gone := b.agent("gone", control.RoleProduce)
	if err := gone.EndSession(t.Context(), gone.grant.Session); err != nil {
		t.Fatal(err)
	}
	b.stop()
	b.start()
	l := b.node.service.leases
	if got := l.expired(time.Hour); fmt.Sprint(got) != fmt.Sprint([]uint64{a.grant.Session}) {
		t.Errorf("leases after an election: %v", got)
	}
	if got := l.expired(l.length / 2); len(got) > 0 {
		t.Errorf("not fresh: %v", got)
	}
	if beat, err := a.Heartbeat(t.Context(), a.grant.Session, 0); err != nil || beat.Ended {
		t.Errorf("%+v %v", beat, err)
	}
}
