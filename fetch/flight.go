package fetch

import (
	"context"
	"errors"
	"fmt"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/sched"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// fly fills the pieces of a load: from its owner, or, when there is none or it does not answer
// in time, from the bucket.
func (r *reader) fly(l *load) {
	ctx, cancel := r.sched.Timeout(r.ctx, r.cfg.ReadTimeout)
	defer cancel()
	if l.peer != "" && r.flyToPeer(ctx, l) {
		return
	}
	spans := make([]span, len(l.pieces))
	for i, p := range l.pieces {
		spans[i], p.peer = p.span, ""
	}
	runs := coalesce(spans, r.cfg.CoalesceGap)
	done := make(chan struct{}, len(runs))
	for _, run := range runs {
		r.sched.Go(func() {
			b, err := r.get(ctx, l, run)
			for _, p := range l.pieces {
				if run.holds(p.span) {
					r.fill(p, b, run.from, err)
				}
			}
			r.letGo(b)
			done <- struct{}{}
		})
	}
	for range runs {
		r.sched.Wait(context.Background(), sched.Never, done)
	}
}

// flyToPeer asks the chunk's owner, and reports whether it answered.
func (r *reader) flyToPeer(ctx context.Context, l *load) bool {
	start := r.sched.Now()
	data, err := r.peers.get(ctx, l)
	if err != nil {
		r.metrics.peerReads.WithLabelValues("failed").Inc()
		if r.ctx.Err() == nil {
			r.log.Debug("chunk's owner did not answer, reading the bucket", "peer", l.peer, "key", l.key, "error", err)
		}
		return false
	}
	r.metrics.peerReads.WithLabelValues("ok").Inc()
	r.metrics.peerSeconds.Observe((r.sched.Now() - start).Seconds())
	r.metrics.peerBytes.Add(float64(len(data)))
	b, at := &buffer{bytes: data, holds: 1}, int64(0)
	for _, p := range l.pieces {
		r.fill(p, b, p.from-at, nil)
		at += p.size()
	}
	r.letGo(b)
	return true
}

// fill hands a piece its part of the bytes, the first of which lies at from in the object.
func (r *reader) fill(p *piece, b *buffer, from int64, err error) {
	var part []byte
	if err == nil {
		part = b.bytes[p.from-from : p.to-from : p.to-from]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cache.fill(p, part, b, err)
	r.free()
}

// letGo ends a flight's hold of what it read; nil is nothing.
func (r *reader) letGo(b *buffer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cache.buffers.letGo(b)
}

// get reads one range of an object, with as many attempts as are allowed. Those that the bucket refused for being one too many
// do not count: their rate is kept by the share's gate, and the flight's time bounds them.
func (r *reader) get(ctx context.Context, l *load, s span) (*buffer, error) {
	store, err := r.stores(l.object.Share)
	if err != nil {
		return nil, fmt.Errorf("open share %s: %w", l.object.Share, err)
	}
	backoff := r.cfg.RetryBackoff
	for attempt := 1; ; {
		b, err := r.hedged(ctx, store, l, s)
		if err == nil {
			return b, r.checkHeader(b.bytes[:s.size()], l, s)
		}
		throttled := errors.Is(err, objstore.ErrThrottled)
		if attempt == r.cfg.ReadAttempts && !throttled || permanent(err) || ctx.Err() != nil {
			return nil, fmt.Errorf("read %s at %d+%d: %w", l.key, s.from, s.size(), err)
		}
		r.metrics.retries.Inc()
		if !sched.Sleep(ctx, r.sched, sched.Jitter(r.sched, backoff)) {
			return nil, fmt.Errorf("read %s at %d+%d: %w", l.key, s.from, s.size(), err)
		}
		if !throttled {
			attempt++
			backoff *= 2
		}
	}
}

// permanent reports whether asking again can only give the same answer.
func permanent(err error) bool {
	for _, known := range []error{objstore.ErrNotFound, objstore.ErrNoBucket, objstore.ErrDenied, objstore.ErrInvalid} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// checkHeader checks, where a range begins with the object's header, that the object is the one
// that was asked for.
func (r *reader) checkHeader(data []byte, l *load, s span) error {
	if s.from != 0 || s.size() < int64(segment.HeaderSize(r.cluster, l.object.Share)) {
		return nil
	}
	h, _, err := segment.ParseHeader(data)
	switch {
	case err != nil:
		return fmt.Errorf("read %s: %w", l.key, err)
	case h.Cluster != r.cluster || h.Share != l.object.Share || h.ID != l.object.ID:
		return fmt.Errorf("read %s: %w: it holds segment %s of share %s of cluster %s", l.key, segment.ErrFormat, h.ID, h.Share, h.Cluster)
	}
	return nil
}

// got is the outcome of one GET.
type got struct {
	buffer *buffer
	err    error
}

// hedged reads a range once, or twice when the first GET takes long and the budget allows it;
// the first answer counts and the other is called off, its buffer left to the garbage collector, for it may still be read
// into. An error counts only when no GET is left.
func (r *reader) hedged(ctx context.Context, store Getter, l *load, s span) (*buffer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes, came := make(chan got, 2), make(chan struct{}, 2)
	ask := func(ctx context.Context) {
		defer r.flights.Done()
		b, err := r.once(ctx, store, l, s)
		outcomes <- got{b, err}
		came <- struct{}{}
	}
	r.mu.Lock()
	delay, may := r.hedge.begin(s.size())
	r.mu.Unlock()
	late := sched.Never
	if may {
		late = r.sched.Now() + delay
	}
	r.flights.Add(1)
	r.sched.Go(func() { ask(ctx) })
	for running := 1; ; {
		switch r.sched.Wait(ctx, late, came) {
		case 0:
			running--
			if o := <-outcomes; o.err == nil || running == 0 {
				return o.buffer, o.err
			}
		case sched.Over:
			return nil, ctx.Err()
		case sched.Late:
			late = sched.Never
			r.mu.Lock()
			may = !r.gate(l.object.Share).rate.Limited() && r.hedge.spend() // where few are let through none is worth two
			r.mu.Unlock()
			if may {
				r.metrics.hedges.Inc()
				r.flights.Add(1)
				r.sched.Go(func() { ask(objstore.Hedging(ctx)) })
				running++
			}
		}
	}
}

// once makes one GET when its share's bucket takes it and its class has a slot free. The buffer is held once.
func (r *reader) once(ctx context.Context, store Getter, l *load, s span) (*buffer, error) {
	if err := r.enter(ctx, l.object.Share, l.class); err != nil {
		return nil, err
	}
	defer func() { r.slots[l.class] <- struct{}{} }()
	start := r.sched.Now()
	b := r.buffer(s.size())
	data, err := store.GetRange(objstore.Lend(ctx, b.bytes), l.key, s.from, s.size())
	took := r.sched.Now() - start
	switch {
	case errors.Is(err, objstore.ErrThrottled):
		r.admitted(l.object.Share, true)
		r.metrics.throttled.Inc()
	case err == nil || permanent(err):
		r.admitted(l.object.Share, false)
	}
	r.metrics.gets.WithLabelValues(l.class.String()).Inc()
	if err != nil {
		r.letGo(b)
		return nil, err
	}
	if int64(len(data)) != s.size() {
		r.letGo(b)
		return nil, fmt.Errorf("%w: %d bytes instead of %d", objstore.ErrUnavailable, len(data), s.size())
	}
	r.metrics.getBytes.WithLabelValues(l.class.String()).Add(float64(len(data)))
	r.metrics.getSeconds.Observe(took.Seconds())
	r.mu.Lock()
	r.hedge.end(s.size(), took)
	if &data[0] != &b.bytes[0] { // the store reads into memory of its own
		r.cache.buffers.letGo(b)
		b = &buffer{bytes: data, holds: 1}
	}
	r.mu.Unlock()
	return b, nil
}

// buffer returns memory for a read of so many bytes.
func (r *reader) buffer(size int64) *buffer {
	r.mu.Lock()
	b := r.cache.buffers.take(size)
	r.mu.Unlock()
	if b == nil {
		b = &buffer{bytes: make([]byte, r.cache.buffers.roomy(size)), holds: 1}
	}
	return b
}
