package raft

import (
	"context"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

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
