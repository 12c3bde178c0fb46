package awake

import (
	"sync"
	"time"
)

// Most is the most that the clock moves between two looks. Owners look at least twice as often.
const Most = 2 * time.Second

// Clock may be read by many goroutines.
type Clock struct {
	mono func() time.Duration

	mu   sync.Mutex
	seen time.Duration // of mono, at the last look
	now  time.Duration
}

// New makes a clock that stands at 0.
func New(mono func() time.Duration) *Clock { return &Clock{mono: mono, seen: mono()} }

// Machine is a clock on the machine's own.
func Machine() *Clock {
	start := time.Now()
	return New(func() time.Duration { return time.Since(start) })
}

// Now is the time that this process has been awake for, and looks at the clock.
func (c *Clock) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	mono := c.mono()
	c.now += min(max(0, mono-c.seen), Most)
	c.seen = max(c.seen, mono)
	return c.now
}
