package statetime

import (
	"errors"
	"testing"
	"time"
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
		start, frozen, why := Judge(c.last, c.wall, time.Minute, c.second)
		if start != c.start || frozen != c.frozen || (why != nil) != c.frozen {
			t.Errorf("%s: start %d frozen %v (%v), want %d %v", name, start, frozen, why, c.start, c.frozen)
		}
	}
}

func TestClockNeverGoesBack(t *testing.T) {
	var mono time.Duration
	c := New(func() time.Duration { return mono }, nil)
	c.Set(1000)
	mono += 5 * time.Second
	if got := c.Now(); got != 6000 {
		t.Fatalf("state time %d", got)
	}
	c.Set(2000) // a later term, its wall clock behind
	if got := c.Now(); got != 6000 {
		t.Fatalf("state time went back to %d", got)
	}
	mono += time.Second
	if got := c.Now(); got != 7000 {
		t.Fatalf("state time %d", got)
	}
}
