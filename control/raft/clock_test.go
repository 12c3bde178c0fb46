package raft

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

func TestJudge(t *testing.T) {
	const minute = 60_000
	agree := func(ms int64) func() (time.Time, error) {
		return func() (time.Time, error) { return time.UnixMilli(ms), nil }
	}
	none := func() (time.Time, error) { return time.Time{}, errors.New("away") }
	for name, c := range map[string]struct {
		last, wall int64
		second     func() (time.Time, error)
		start      int64
		frozen     bool
	}{
		"first election":             {0, 9e12, none, 9e12, false},
		"small step":                 {1e12, 1e12 + minute, none, 1e12 + minute, false},
		"clock behind":               {1e12, 1e12 - 10*minute, none, 1e12, false},
		"down for long, confirmed":   {1e12, 1e12 + 100*minute, agree(1e12 + 100*minute - 1000), 1e12 + 100*minute, false},
		"jump, no second clock":      {1e12, 1e12 + minute + 1, none, 1e12, true},
		"jump, second clock differs": {1e12, 1e12 + 100*minute, agree(1e12 + 2*minute), 1e12, true},
		"second clock is ahead":      {1e12, 1e12 + 2*minute, agree(1e12 + 100*minute), 1e12, true},
	} {
		start, frozen, why := judge(c.last, c.wall, time.Minute, c.second)
		if start != c.start || frozen != c.frozen || (why != nil) != c.frozen {
			t.Errorf("%s: start %d frozen %v (%v), want %d %v", name, start, frozen, why, c.start, c.frozen)
		}
	}
}

func TestClockNeverGoesBack(t *testing.T) {
	var mono time.Duration
	c := &clock{mono: func() time.Duration { return mono }}
	c.set(1000)
	mono += 5 * time.Second
	if got := c.now(); got != 6000 {
		t.Fatalf("state time %d", got)
	}
	c.set(2000) // a later term, its wall clock behind
	if got := c.now(); got != 6000 {
		t.Fatalf("state time went back to %d", got)
	}
	mono += time.Second
	if got := c.now(); got != 7000 {
		t.Fatalf("state time %d", got)
	}
}

// TestJumpFreezesUntilConfirmed: the wall clock leaps between two starts of a node.
func TestJumpFreezesUntilConfirmed(t *testing.T) {
	b := newBed(t)
	wall := time.UnixMilli(1_800_000_000_000)
	b.deps.Wall = func() time.Time { return wall }
	b.deps.SecondClock = func(context.Context) (time.Time, error) { return time.UnixMilli(1_800_000_000_000), nil }
	n := b.lead()
	b.propose(n, createShare("a"))
	b.close(n)

	before := wall.UnixMilli()
	wall = wall.Add(365 * 24 * time.Hour)
	n = b.lead()
	frozen, at := look(n)
	if !frozen || at-before > 60_000 || n.Now()-before > 60_000 {
		t.Errorf("after a leap of a year: frozen %v, state time moved %d ms", frozen, at-before)
	}
	b.propose(n, &controlpb.Command{Op: &controlpb.Command_ConfirmClock{ConfirmClock: &controlpb.ConfirmClockCommand{}}})
	if frozen, at = look(n); frozen || at < wall.UnixMilli() {
		t.Errorf("after it was confirmed: frozen %v, state time %d, wall %d", frozen, at, wall.UnixMilli())
	}
}

func TestConfirmedDowntimeDoesNotFreeze(t *testing.T) {
	b := newBed(t)
	wall := time.UnixMilli(1_800_000_000_000)
	b.deps.Wall = func() time.Time { return wall }
	b.deps.SecondClock = func(context.Context) (time.Time, error) { return wall.Truncate(time.Second), nil }
	b.close(b.lead())
	wall = wall.Add(time.Hour)
	n := b.lead()
	if frozen, at := look(n); frozen || at < wall.UnixMilli() {
		t.Errorf("frozen %v, state time %d, wall %d", frozen, at, wall.UnixMilli())
	}
}

func look(n *Node) (frozen bool, at int64) {
	n.Peek(func(s *control.State) { frozen, at = s.Frozen(), s.Time() })
	return frozen, at
}
