package fetch

import (
	"context"
	"fmt"
	"slices"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/sched"
	"github.com/isthmusdata/isthmus/internal/throttle"
)

// gate lets the GETs of a share begin as often as its bucket lets them through: as they come, until one is refused for being
// one too many, and then in order, those of the tail before those of history. Retries and hedges stand in it like others.
//
// It is guarded by the reader's lock.
type gate struct {
	rate  throttle.Rate
	lines [classes][]chan struct{} // who waits, by class, in order
	open  bool                     // somebody lets them in
}

func (g *gate) waited() bool { return len(g.lines[tailClass])+len(g.lines[coldClass]) > 0 }

// next takes the first who waits.
func (g *gate) next() chan struct{} {
	c := tailClass
	if len(g.lines[c]) == 0 {
		c = coldClass
	}
	turn := g.lines[c][0]
	g.lines[c] = g.lines[c][1:]
	return turn
}

// gate is a share's. The lock is held.
func (r *reader) gate(share string) *gate {
	g := r.gates[share]
	if g == nil {
		g = &gate{}
		r.gates[share] = g
	}
	return g
}

// enter waits until a GET of a share may begin and its class has a slot free, which it takes. Nobody holds a slot
// while it waits for a bucket: others have their turn meanwhile. Who waits for a slot while the bucket begins to
// throttle stands in line like those who come then.
func (r *reader) enter(ctx context.Context, share string, c class) error {
	for {
		free, err := r.admit(ctx, share, c)
		if err != nil {
			return fmt.Errorf("wait for a bucket that throttles: %w: %w", objstore.ErrThrottled, err)
		}
		if r.sched.Wait(ctx, sched.Never, r.slots[c]) != 0 {
			return fmt.Errorf("wait for a free read: %w", ctx.Err())
		}
		if !free || !r.limited(share) {
			return nil
		}
		r.slots[c] <- struct{}{}
	}
}

// admit waits until a GET of a share may begin. It reports free when nothing was known against it.
func (r *reader) admit(ctx context.Context, share string, c class) (free bool, err error) {
	r.mu.Lock()
	g := r.gate(share)
	if now := r.sched.Now(); !g.waited() && g.rate.At() <= now {
		g.rate.Begin(now)
		free = !g.rate.Limited()
		r.mu.Unlock()
		return free, nil
	}
	r.metrics.throttleWaits.Inc()
	turn := make(chan struct{}, 1)
	g.lines[c] = append(g.lines[c], turn)
	if !g.open {
		g.open = true
		r.flights.Add(1)
		r.sched.Go(func() {
			defer r.flights.Done()
			r.letIn(g)
		})
	}
	r.mu.Unlock()
	if r.sched.Wait(ctx, sched.Never, turn) == 0 {
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	g.lines[c] = slices.DeleteFunc(g.lines[c], func(other chan struct{}) bool { return other == turn })
	return false, ctx.Err()
}

func (r *reader) limited(share string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gate(share).rate.Limited()
}

// letIn gives those who wait their turns, until nobody waits.
func (r *reader) letIn(g *gate) {
	for {
		r.mu.Lock()
		if !g.waited() {
			g.open = false
			r.mu.Unlock()
			return
		}
		now, at := r.sched.Now(), g.rate.At()
		if at <= now {
			g.rate.Begin(now)
			g.next() <- struct{}{} // it has room for one
			r.mu.Unlock()
			continue
		}
		r.mu.Unlock()
		if r.sched.Wait(r.ctx, at, nil) == sched.Over {
			return // so do those who wait
		}
	}
}

// admitted takes in what became of a GET: refused for being one too many, or let through.
func (r *reader) admitted(share string, refused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.gate(share); refused {
		g.rate.Refused(r.sched.Now())
	} else {
		g.rate.Passed(r.sched.Now())
	}
}
