package raft

import (
	"context"
	"sync"
	"time"
)

// rivals is how a leader notices that a copy of its directory leads in its place (I12): it looks for the
// next turn in the bucket when something is proposed and the last look is older than every. It looks for no other
// reason, so that an idle leader asks nothing.
//
// A copy waits for two times every after it has taken its turn, so no entry may be written when the last
// look is older than that. While entries follow each other, looks go on beside them; after a pause the
// first entry waits for one.
type rivals struct {
	every time.Duration
	now   func() time.Duration        // monotonic
	look  func(context.Context) error // nil: nobody else leads
	spawn func(f func())              // runs f beside its caller

	mu      sync.Mutex
	at      time.Duration // when the last look began
	running chan struct{} // closed when the look on its way has ended
}

// looked says that the bucket has been asked just now.
func (r *rivals) looked() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = r.now()
}

// before is called before each entry, by one goroutine. An error ends the entry.
func (r *rivals) before(ctx context.Context) error {
	wait := r.begin(ctx)
	if wait == nil {
		return ctx.Err()
	}
	select {
	case <-wait:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin starts a look if one is due, and returns what to wait for, if the last one is too old.
func (r *rivals) begin(ctx context.Context) (wait chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	age := r.now() - r.at
	if age < r.every {
		return nil
	}
	if r.running == nil {
		r.running = make(chan struct{})
		r.spawn(func() { r.run(ctx) })
	}
	if age < 2*r.every {
		return nil
	}
	return r.running
}

// run looks once. A look that failed counts as well, from its end: a bucket that cannot be asked makes no
// entry wait for more than one look in a while, and stops no leader.
func (r *rivals) run(ctx context.Context) {
	at := r.now()
	if err := r.look(ctx); err != nil {
		at = r.now()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = at
	close(r.running)
	r.running = nil
}
