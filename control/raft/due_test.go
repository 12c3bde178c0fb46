package raft

import (
	"testing"
	"time"
)

// TestSnapshotsAreAsFarApartAsTheyAreLarge: the size of the last one, once it is above SnapshotBytes, says how much log may
// follow it; age starts one whatever its size.
func TestSnapshotsAreAsFarApartAsTheyAreLarge(t *testing.T) {
	n := &Node{machine: &machine{}, config: Config{SnapshotBytes: 100, SnapshotAge: time.Hour}}
	n.machine.pending.Store(int64(time.Second))
	for _, c := range []struct {
		log, last int64
		now       time.Duration
		due       bool
	}{
		{99, 0, time.Minute, false},
		{100, 0, time.Minute, true},
		{100, 50, time.Minute, true},
		{100, 1000, time.Minute, false},
		{999, 1000, time.Minute, false},
		{1000, 1000, time.Minute, true},
		{1, 1000, time.Hour + time.Second, true},
	} {
		n.machine.bytes.Store(c.log)
		n.machine.size.Store(c.last)
		if got := n.due(c.now); got != c.due {
			t.Errorf("%d B of log after a snapshot of %d B, at %v: due is %v", c.log, c.last, c.now, got)
		}
	}
}
