package sched

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Sched is time, chance and goroutines.
type Sched interface {
	// Now is the time since some moment, which stays the same.
	Now() time.Duration
	// Rand draws a random number.
	Rand() uint64
	// Go runs f beside its caller.
	Go(f func())
	// Wait waits until one of the channels can be received from, receives, and returns its index; or
	// until a time, and returns Late; or until ctx ends, and returns Over. A nil channel gives
	// nothing. There are at most three channels.
	Wait(ctx context.Context, until time.Duration, from ...<-chan struct{}) int
	// Timeout returns a context that ends after d.
	Timeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
}

// What Wait returns when no channel gave anything.
const (
	Late = -1
	Over = -2
)

// Never is a time to wait until that does not come.
const Never time.Duration = math.MaxInt64

// Jitter draws a duration between half of d and one and a half.
func Jitter(s Sched, d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + time.Duration(s.Rand()%uint64(d))
}

// Sleep waits for d, and reports whether ctx goes on.
func Sleep(ctx context.Context, s Sched, d time.Duration) bool {
	return s.Wait(ctx, s.Now()+d) == Late
}

// Machine is the machine's own clock, random source and goroutines.
func Machine() Sched { return &machine{start: time.Now()} }

type machine struct{ start time.Time }

func (m *machine) Now() time.Duration { return time.Since(m.start) }
func (m *machine) Rand() uint64       { return rand.Uint64() }
func (m *machine) Go(f func())        { go f() }

func (m *machine) Timeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

func (m *machine) Wait(ctx context.Context, until time.Duration, from ...<-chan struct{}) int {
	var c [3]<-chan struct{}
	if len(from) > len(c) {
		panic(fmt.Sprintf("sched: wait for %d channels, at most %d", len(from), len(c)))
	}
	copy(c[:], from)
	var late <-chan time.Time
	if until != Never {
		t := time.NewTimer(until - m.Now())
		defer t.Stop()
		late = t.C
	}
	select {
	case <-c[0]:
		return 0
	case <-c[1]:
		return 1
	case <-c[2]:
		return 2
	case <-late:
		return Late
	case <-ctx.Done():
		return Over
	}
}
