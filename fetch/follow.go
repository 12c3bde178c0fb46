package fetch

import (
	"context"
	"errors"
	"time"

	"github.com/isthmusdata/isthmus/internal/sched"
	"github.com/isthmusdata/isthmus/internal/segment"
)

const (
	followBackoff    = 100 * time.Millisecond // before the second attempt to open a stream
	followBackoffTop = 3 * time.Second
)

// errRestarted: the stream was ended from here, for another incarnation has begun.
var errRestarted = errors.New("watch stream restarted")

// Run follows the watch until ctx ends, opening the stream anew whenever it breaks. Meanwhile
// waiting fetches learn nothing new by it, and every fetch at the end asks for the end.
func (h *Handler) Run(ctx context.Context) error {
	h.sched.Go(func() { h.sweep(ctx) })
	backoff := followBackoff
	for {
		began := h.now()
		err := h.follow(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // a stream that we end ourselves has not failed
		}
		h.metrics.watchRestart.Inc()
		if h.now()-began > followBackoffTop || errors.Is(err, errRestarted) {
			backoff = followBackoff
		}
		h.rate.Warn("watch", "watch stream ended, opening another", "error", err)
		if !sched.Sleep(ctx, h.sched, sched.Jitter(h.sched, backoff)) {
			return nil
		}
		backoff = min(2*backoff, followBackoffTop)
	}
}

// sweep stops watching partitions that nobody fetches any more.
func (h *Handler) sweep(ctx context.Context) {
	for sched.Sleep(ctx, h.sched, max(h.cfg.WatchIdle/4, time.Second)) {
		h.mu.Lock()
		h.planner.idle(h.now())
		h.ask()
		h.mu.Unlock()
	}
}

// follow runs one stream until it breaks.
func (h *Handler) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w, err := h.deps.Index.Watch(ctx)
	if err != nil {
		return err
	}
	h.mu.Lock()
	generation := h.generation
	h.planner.restart()
	h.signal(h.changed)
	h.mu.Unlock()
	told := make(chan struct{})
	h.sched.Go(func() {
		defer close(told)
		h.tell(ctx, cancel, w)
	})
	err = h.hear(w, generation)
	cancel(err)
	h.take(told)
	h.mu.Lock()
	h.planner.severed()
	h.mu.Unlock()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// hear takes in the news of a stream until it breaks or another incarnation has begun.
func (h *Handler) hear(w Watch, generation uint64) error {
	for {
		events, err := w.Recv()
		if err != nil {
			return err
		}
		if !h.news(events, generation) {
			return errRestarted
		}
	}
}

func (h *Handler) news(events []segment.Event, generation uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.renew()
	if h.generation != generation {
		return false
	}
	now := h.now()
	for i := range events {
		h.planner.event(now, &events[i])
	}
	return true
}

// tell tells the stream what to watch, as that changes.
func (h *Handler) tell(ctx context.Context, cancel context.CancelCauseFunc, w Watch) {
	for {
		switch h.sched.Wait(ctx, sched.Never, h.changed, h.restarts) {
		case 0:
		case 1:
			cancel(errRestarted)
			return
		default:
			return
		}
		h.mu.Lock()
		remove, add := h.planner.changes()
		h.mu.Unlock()
		var err error
		if len(remove) > 0 {
			err = w.Remove(remove)
		}
		if len(add) > 0 && err == nil {
			err = w.Add(add)
		}
		if err != nil {
			cancel(err)
			return
		}
	}
}
