package raft

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestRivals: an entry never goes out by a look that is twice as old as looks may be, and waits for no other.
func TestRivals(t *testing.T) {
	var now time.Duration
	var under []func() // looks that were begun
	looks, fail := 0, false
	r := &rivals{
		every: 10 * time.Second, now: func() time.Duration { return now },
		look: func(context.Context) error {
			if looks++; fail {
				return errors.New("bucket is away")
			}
			return nil
		},
		spawn: func(f func()) { under = append(under, f) },
	}
	finish := func() {
		for _, f := range under {
			f()
		}
		under = nil
	}
	check := func(at time.Duration, begun int, waits bool) {
		t.Helper()
		now = at
		wait := r.begin(t.Context())
		if len(under) != begun || (wait != nil) != waits {
			t.Errorf("at %s: %d looks on their way, waits %t; want %d, %t", at, len(under), wait != nil, begun, waits)
		}
	}
	r.looked()
	check(9*time.Second, 0, false)
	check(10*time.Second, 1, false)
	check(19*time.Second, 1, false) // it takes its time, and the last one still holds
	check(20*time.Second, 1, true)
	finish()
	check(29*time.Second, 0, false)
	check(time.Hour, 1, true)
	fail = true
	finish()
	check(time.Hour+9*time.Second, 0, false) // a bucket that is away does not hold up every entry
	check(time.Hour+20*time.Second, 1, true)
	finish()
	if looks != 3 {
		t.Errorf("%d looks, want 3", looks)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	now += time.Hour
	if err := r.before(ctx); err == nil {
		t.Error("an entry goes out after its end")
	}
}
