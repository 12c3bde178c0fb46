package wire

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
)

// class of a request, by what it is charged at most. Each class has memory of its own, so that what
// few clients send can wait, or be claimed and never sent, without holding up what all clients send.
type class int

const (
	small  class = iota // heartbeats, commits, most fetches, produce requests of a few batches
	medium              // produce requests as large as clients make them by default
	giant               // whatever is larger
	classes
)

const (
	smallCharge  = 256 << 10
	mediumCharge = 4 << 20
)

func classOf(charge int64) class {
	switch {
	case charge <= smallCharge:
		return small
	case charge <= mediumCharge:
		return medium
	}
	return giant
}

// budget is the memory that requests of all connections may take together.
type budget struct {
	pools [classes]*pool
	size  int64
	used  atomic.Int64
}

// newBudget deals size out: half of it to giants, or as much more, up to three quarters, as the
// largest frame needs; a quarter of the rest to small requests.
func newBudget(size, largest int64) *budget {
	b := &budget{size: size}
	giants := max(size/2, min(size-size/4, largest))
	smalls := (size - giants) / 4
	for c, n := range [classes]int64{small: smalls, medium: size - giants - smalls, giant: giants} {
		b.pools[c] = &pool{size: max(n, 1)}
	}
	return b
}

// acquire waits until n bytes are free in their class. What is larger than all of it takes all of it, and
// so runs alone there.
func (b *budget) acquire(ctx context.Context, n int64, proven bool) (*charge, error) {
	p := b.pools[classOf(n)]
	n = min(n, p.size)
	if err := p.acquire(ctx, n, proven); err != nil {
		return nil, err
	}
	b.used.Add(n)
	c := &charge{budget: b, pool: p}
	c.bytes.Store(n)
	c.holds.Store(1)
	return c, nil
}

// pool is the memory of one class. Those who wait stand in two lines, each served in its order:
// connections that have sent a whole request of the class before, and those that have not yet, who get
// every fourth turn. A peer that claims memory and does not use it loses its connection, and with it its place among the proven.
type pool struct {
	size int64

	mu      sync.Mutex
	used    int64
	waiting [2]list.List // of *waiter: proven, new
	turn    int
}

type waiter struct {
	bytes   int64
	granted chan struct{}
}

// newcomersTurn: of so many grants, one goes to the new.
const newcomersTurn = 4

func (p *pool) acquire(ctx context.Context, n int64, proven bool) error {
	p.mu.Lock()
	if p.idle() && p.used+n <= p.size {
		p.used += n
		p.mu.Unlock()
		return nil
	}
	line := &p.waiting[1]
	if proven {
		line = &p.waiting[0]
	}
	w := &waiter{bytes: n, granted: make(chan struct{})}
	e := line.PushBack(w)
	p.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.granted: // at the same moment
		p.used -= n
	default:
		line.Remove(e)
	}
	p.grant() // who stood behind it may fit
	return ctx.Err()
}

// contended reports whether somebody waits.
func (p *pool) contended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.idle()
}

func (p *pool) idle() bool { return p.waiting[0].Len()+p.waiting[1].Len() == 0 }

func (p *pool) release(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= n
	p.grant()
}

// grant serves those who wait for as long as the next one fits. The lock is held.
func (p *pool) grant() {
	for !p.idle() {
		line := &p.waiting[0]
		if line.Len() == 0 || p.waiting[1].Len() > 0 && p.turn%newcomersTurn == newcomersTurn-1 {
			line = &p.waiting[1]
		}
		w := line.Front().Value.(*waiter)
		if p.used+w.bytes > p.size {
			return
		}
		p.used += w.bytes
		p.turn++
		line.Remove(line.Front())
		close(w.granted)
	}
}

// charge is what one request takes of the budget until its last hold is released.
type charge struct {
	budget *budget
	pool   *pool
	bytes  atomic.Int64 // only shrinks
	holds  atomic.Int32

	frames *framePool   // where frame goes after the last hold
	frame  *frameMemory // nil: none that is given back
}

// own makes the charge the owner of the request's frame, before anybody else knows the charge.
func (c *charge) own(f *frameMemory, from *framePool) { c.frame, c.frames = f, from }

// shrink gives back what a request turned out not to need.
func (c *charge) shrink(n int64) {
	if was := c.bytes.Load(); n < was && c.bytes.CompareAndSwap(was, n) {
		c.budget.used.Add(n - was)
		c.pool.release(was - n)
	}
}

func (c *charge) hold() { c.holds.Add(1) }

func (c *charge) release() {
	if c.holds.Add(-1) > 0 {
		return
	}
	if c.frame != nil {
		c.frames.put(c.frame)
		c.frame = nil
	}
	c.shrink(0)
}
