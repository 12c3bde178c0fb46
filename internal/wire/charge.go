package wire

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// budget is the memory that requests of all connections may take together. Waiters are served in
// the order in which they came, so that a large request is not starved by small ones.
type budget struct {
	sem     *semaphore.Weighted
	size    int64
	used    atomic.Int64
	waiting atomic.Int64 // requests that wait for bytes
}

func newBudget(size int64) *budget {
	return &budget{sem: semaphore.NewWeighted(size), size: size}
}

// acquire waits until n bytes are free. What is larger than the whole budget takes all of it and so
// runs alone.
func (b *budget) acquire(ctx context.Context, n int64) (*charge, error) {
	n = min(n, b.size)
	if !b.sem.TryAcquire(n) {
		b.waiting.Add(1)
		err := b.sem.Acquire(ctx, n)
		b.waiting.Add(-1)
		if err != nil {
			return nil, err
		}
	}
	b.used.Add(n)
	c := &charge{budget: b, bytes: n}
	c.holds.Store(1)
	return c, nil
}

// charge is what one request takes of the budget until its last hold is released.
type charge struct {
	budget *budget
	bytes  int64 // changed by shrink only, before the request is handed over
	holds  atomic.Int32
}

// shrink gives back what a request turned out not to need.
func (c *charge) shrink(n int64) {
	if n >= c.bytes {
		return
	}
	c.budget.used.Add(n - c.bytes)
	c.budget.sem.Release(c.bytes - n)
	c.bytes = n
}

func (c *charge) hold() { c.holds.Add(1) }

func (c *charge) release() {
	if c.holds.Add(-1) == 0 {
		c.budget.used.Add(-c.bytes)
		c.budget.sem.Release(c.bytes)
	}
}
