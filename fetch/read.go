package fetch

import (
	"context"
	"errors"
	"strconv"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// read gets the bytes of what is ready, and cuts them to the batches that are answered.
func (f *fetch) read(ctx context.Context) {
	ctx, cancel := f.h.sched.Timeout(ctx, f.h.cfg.ReadTimeout+f.h.cfg.PeerTimeout)
	defer cancel()
	if f.allowed > 0 {
		f.want()
	}
	f.h.reader.acquire(ctx, f.needs, true, true)
	left := min(f.maxBytes(), f.allowed)
	some := false
	for i := range f.parts {
		p := &f.parts[i]
		if f.h.scratch.lent.Load() > f.h.cfg.CopiedBytes {
			left = 0 // answers of many small batches are copies: the next ones wait for room
		}
		f.finish(ctx, p, left, !some)
		left = max(0, left-int64(p.out.records.size))
		some = some || p.out.records.size > 0
	}
	f.ahead()
}

// ahead begins to read what the readers of history in this request will want next.
func (f *fetch) ahead() {
	if f.h.cfg.PrefetchBytes == 0 {
		return
	}
	var next []segment.Location
	f.h.mu.Lock()
	for i := range f.parts {
		if p := &f.parts[i]; p.reached > 0 && !p.view.tail {
			next = append(next, f.h.planner.following(f.h.now(), p.partition, p.reached, f.h.cfg.PrefetchBytes)...)
		}
	}
	f.h.mu.Unlock()
	if len(next) > 0 {
		f.h.reader.ahead(next)
	}
}

// want chooses the locations to read until max_bytes is reached: the first of every partition, then the second of every
// partition, and so on. A segment holds a little of each of many partitions and is read as a whole; partition by partition,
// an answer would be the beginning of a few partitions out of more segments than the cache holds, and the next answers
// would read them all again. For the same reason it ends where a round does, if the next does not fit whole: of the segment in which an
// answer ends within a round, one part is read now and the other with the next answer.
func (f *fetch) want() {
	left := min(f.maxBytes(), f.allowed)
	for some := false; ; {
		if some && f.round() > left {
			return
		}
		before := left
		for i := range f.parts {
			p := &f.parts[i]
			if p.wantsMore() && !(some && (left <= 0 || p.maxBytes <= 0)) {
				left -= f.wantNext(p)
				some = true
			}
		}
		if left == before {
			return
		}
	}
}

// wantsMore reports whether a partition has locations that its own bound has room for.
func (p *part) wantsMore() bool {
	return p.code == 0 && p.view.verdict == ready && len(p.needs) < len(p.view.locations) && p.chosen < max(int64(p.maxBytes), 1)
}

// round is the bytes of the next location of every partition.
func (f *fetch) round() (bytes int64) {
	for i := range f.parts {
		if p := &f.parts[i]; p.wantsMore() {
			bytes += int64(p.view.locations[len(p.needs)].Length)
		}
	}
	return bytes
}

// wantNext chooses the next location of a partition, which has one, and returns how many bytes of it are wanted.
func (f *fetch) wantNext(p *part) int64 {
	j := len(p.needs)
	n := &need{loc: p.view.locations[j], class: coldClass}
	if p.view.tail {
		n.class = tailClass
	}
	p.needs = append(p.needs, n)
	f.needs = append(f.needs, n)
	size := int64(n.loc.Length)
	if j == 0 {
		size = p.view.bytes // of which the first location counts only from the offset on
		for k := range p.view.locations[1:] {
			size -= int64(p.view.locations[1+k].Length)
		}
	}
	p.chosen += size
	return max(size, 1)
}

// finish makes a partition's answer.
func (f *fetch) finish(ctx context.Context, p *part, left int64, due bool) {
	code, err := p.code, error(nil)
	v := &p.view
	if code == 0 {
		switch v.verdict {
		case refused:
			code = f.named(v.code)
		case ready:
			if f.allowed == 0 {
				break // there are records, and the client is told to come again for them
			}
			err = f.cut(ctx, p, left, due)
			if errors.Is(err, objstore.ErrNotFound) && !p.replanned {
				err = f.replan(ctx, p, left, due)
			}
		}
		if !v.known && code == 0 {
			code = codeStorage // no confirmed read yet: there is nothing that could be said (I9)
		}
	}
	if err != nil && p.out.records.size == 0 && !errors.Is(err, errNoRoom) {
		code = codeStorage
		if ctx.Err() == nil { // who hangs up is no fault of the bucket's
			f.h.rate.Warn("read "+p.title, "records could not be read", "topic", p.title, "partition", p.index,
				"offset", int64(p.offset), "error", err)
		}
	}
	p.out.ref, p.out.code = p.ref, code
	p.out.high, p.out.logStart = v.high, v.logStart
	if code != 0 {
		p.out.high, p.out.logStart = topic.NoOffset, topic.NoOffset
		f.h.metrics.codes.WithLabelValues(strconv.Itoa(int(code))).Inc()
	}
}

// named is the code of a plan as the request's version knows it.
func (f *fetch) named(code int16) int16 {
	if code == codeUnknownID && f.version < 13 {
		return codeUnknownTopic
	}
	return code
}

// cut appends the batches of a partition that are answered. A chunk that an answer does not
// refer to is given back at once.
func (f *fetch) cut(ctx context.Context, p *part, left int64, due bool) error {
	budget := min(int64(max(p.maxBytes, 0)), left)
	next := p.offset
	for _, n := range p.needs {
		data, err := f.h.reader.await(ctx, n)
		if err != nil {
			return err
		}
		var full bool
		before := p.out.records.referred
		next, full, err = cut(&p.out.records, &f.scratch, data, n.loc.Base, n.loc.Stamped, f.epoch, next, budget, due)
		if p.out.records.referred == before {
			f.h.reader.release(n)
		}
		if err != nil || full {
			return err
		}
		p.reached = n.loc.End()
	}
	return nil
}

// replan asks again where a partition's records lie, whose object is gone: it was compacted or
// deleted since (I7). The new answer may also be that there is nothing any more.
//
// Where records of objects before it are part of the answer already, that is all of it: their chunks must be held until it
// is written, and the client's next request finds the new places.
func (f *fetch) replan(ctx context.Context, p *part, left int64, due bool) error {
	f.h.metrics.gone.Inc()
	p.replanned = true
	f.h.mu.Lock()
	f.h.planner.gone(p.partition)
	since := f.h.planner.arrive()
	f.h.mu.Unlock()
	if p.out.records.size > 0 {
		return nil
	}
	f.h.reader.release(p.needs...)
	p.needs, p.chosen = nil, 0
	deadline := f.h.now() + f.h.cfg.PlanTimeout
	for {
		woken := make(chan struct{})
		f.h.mu.Lock()
		p.view = f.h.planner.look(f.h.now(), since, p.partition, p.offset, max(1, min(int64(p.maxBytes), left)), f.h.cfg.MaxRequestLocations)
		w := &waiter{need: 1, wake: func() { close(woken) }}
		if p.view.verdict == asking {
			f.h.planner.wait(w, []topic.Partition{p.partition})
		}
		f.h.ask()
		f.h.mu.Unlock()
		if p.view.verdict != asking {
			break
		}
		if f.h.wait(ctx, deadline, woken) == 0 {
			continue
		}
		f.leave(w)
		return errors.New("plan again after an object was gone: control plane did not answer in time")
	}
	if p.view.verdict != ready {
		return nil
	}
	before := len(f.needs)
	for budget := max(1, min(int64(max(p.maxBytes, 0)), left)); p.chosen < budget && p.wantsMore(); {
		f.wantNext(p)
	}
	f.h.reader.acquire(ctx, f.needs[before:], true, false)
	return f.cut(ctx, p, left, due)
}
