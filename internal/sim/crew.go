package sim

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/isthmusdata/isthmus/internal/sched"
)

// crew is a Sched in virtual time: the goroutines of one process, as coroutines. One of them runs at
// a time, until it waits; which of those that could go on does is the seed's choice.
type crew struct {
	w       *World
	ctx     context.Context // of the process: it ends with the crew
	end     context.CancelFunc
	tasks   []*task // that have not ended
	running *task
	over    bool
	armed   time.Duration // when the crew looks at its tasks again; sched.Never for not
}

// task is one coroutine and what it waits for.
type task struct {
	yield  func(struct{}) bool
	next   func() (struct{}, bool)
	stop   func()
	begun  bool
	ctx    context.Context
	until  time.Duration
	from   [3]<-chan struct{}
	result int
}

func newCrew(w *World) *crew {
	c := &crew{w: w, armed: sched.Never}
	c.ctx, c.end = context.WithCancel(context.Background())
	return c
}

var _ sched.Sched = (*crew)(nil)

// Now implements sched.Sched.
func (c *crew) Now() time.Duration { return c.w.now }

// Rand implements sched.Sched.
func (c *crew) Rand() uint64 { return c.w.rng.Uint64() }

// Go implements sched.Sched. From outside a task, look must follow.
func (c *crew) Go(f func()) {
	if c.over {
		return
	}
	t := &task{}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		f()
	})
	c.tasks = append(c.tasks, t)
}

// Wait implements sched.Sched.
func (c *crew) Wait(ctx context.Context, until time.Duration, from ...<-chan struct{}) int {
	t := c.running
	if t == nil || len(from) > len(t.from) {
		panic(fmt.Sprintf("sim: a wait for %d channels, in a task: %v", len(from), t != nil))
	}
	t.ctx, t.until, t.from = ctx, until, [3]<-chan struct{}{}
	copy(t.from[:], from)
	if deadline, ok := ctx.Value(deadlineKey{}).(*deadline); ok {
		t.until = min(t.until, deadline.nearest())
	}
	c.running = nil
	goesOn := !c.over && t.yield(struct{}{})
	c.running = t
	if !goesOn {
		return sched.Over
	}
	return t.result
}

// ready reports whether a task could go on, and with what.
func (t *task) ready(w *World) bool {
	if !t.begun {
		return true
	}
	for i, from := range t.from {
		if from != nil && given(from) {
			t.result = i
			return true
		}
	}
	if w.now >= t.until {
		t.result = sched.Late
		if d, ok := t.ctx.Value(deadlineKey{}).(*deadline); ok && d.expire() {
			t.result = sched.Over
		}
		return true
	}
	if t.ctx.Err() != nil {
		t.result = sched.Over
		return true
	}
	return false
}

// given reports whether a channel holds a token or is closed. Nothing is taken: what is received
// from an empty channel is its end.
func given(from <-chan struct{}) bool {
	if len(from) > 0 {
		return true
	}
	select {
	case <-from:
		return true
	default:
		return false
	}
}

// look lets tasks run for as long as one can.
func (c *crew) look() {
	if c.running != nil {
		return // the one that runs comes back to it
	}
	for !c.over {
		ready := c.ready()
		if len(ready) == 0 {
			break
		}
		c.resume(ready[c.w.rng.IntN(len(ready))])
	}
	c.arm()
}

func (c *crew) ready() []*task {
	var ready []*task
	for _, t := range c.tasks {
		if t.ready(c.w) {
			ready = append(ready, t)
		}
	}
	return ready
}

// resume lets one task run until it waits or ends.
func (c *crew) resume(t *task) {
	if t.begun && t.result >= 0 && len(t.from[t.result]) > 0 {
		<-t.from[t.result]
	}
	t.begun = true
	c.running = t
	_, waits := t.next()
	c.running = nil
	if !waits {
		c.tasks = slices.DeleteFunc(c.tasks, func(o *task) bool { return o == t })
	}
}

// arm looks again when the first of the tasks has waited long enough.
func (c *crew) arm() {
	first := sched.Never
	for _, t := range c.tasks {
		first = min(first, t.until)
	}
	if c.over || first >= c.armed {
		return
	}
	c.armed = first
	c.w.after(first-c.w.now, "time", func() {
		if c.armed == first {
			c.armed = sched.Never
		}
		c.look()
	})
}

// do runs what comes from outside, and then the tasks.
func (c *crew) do(f func()) {
	if c.over {
		return
	}
	f()
	c.look()
}

// kill ends all tasks where they stand, as a crash does: what they wait for never comes.
func (c *crew) kill() {
	c.over = true
	c.end()
	for len(c.tasks) > 0 {
		tasks := c.tasks
		c.tasks = nil
		for _, t := range tasks {
			c.running = t
			t.stop()
			c.running = nil
		}
	}
}

// Timeout implements sched.Sched.
func (c *crew) Timeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	outer, _ := ctx.Value(deadlineKey{}).(*deadline)
	inner, cancel := context.WithCancel(ctx)
	return &deadline{Context: inner, w: c.w, at: c.w.now + d, cancel: cancel, outer: outer}, cancel
}

// deadline is a context that ends in virtual time: when a task that waits in it finds out.
type deadline struct {
	context.Context
	w      *World
	at     time.Duration
	cancel context.CancelFunc
	outer  *deadline
}

type deadlineKey struct{}

// Value implements context.Context.
func (d *deadline) Value(key any) any {
	if key == (deadlineKey{}) {
		return d
	}
	return d.Context.Value(key)
}

// Err implements context.Context.
func (d *deadline) Err() error {
	if d.w.now >= d.nearest() {
		return context.DeadlineExceeded
	}
	return d.Context.Err()
}

func (d *deadline) nearest() time.Duration {
	if d.outer != nil {
		return min(d.at, d.outer.nearest())
	}
	return d.at
}

// expire ends what is due, and reports whether anything was.
func (d *deadline) expire() bool {
	due := false
	for ; d != nil; d = d.outer {
		if d.w.now >= d.at {
			due = true
			d.cancel()
		}
	}
	return due
}
