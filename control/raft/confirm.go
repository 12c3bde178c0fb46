package raft

import (
	"context"
	"sync"
)

// confirmer shares leadership checks: one round of them serves every read that began before the
// round did. A read never shares a round that was under way when it came, for that round may have
// asked the other voters before the read's caller learned what it expects to see.
type confirmer struct {
	verify func() error

	mu      sync.Mutex
	next    *round // gathers readers; not begun
	running bool
}

type round struct {
	done chan struct{}
	err  error // set before done is closed
}

// confirm returns nil when this node was certainly the leader at a moment after confirm was called.
func (c *confirmer) confirm(ctx context.Context) error {
	c.mu.Lock()
	if c.next == nil {
		c.next = &round{done: make(chan struct{})}
	}
	mine := c.next
	if !c.running {
		c.running = true
		go c.run()
	}
	c.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *confirmer) run() {
	for {
		c.mu.Lock()
		mine := c.next
		c.next = nil
		if mine == nil {
			c.running = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		mine.err = c.verify()
		close(mine.done)
	}
}
