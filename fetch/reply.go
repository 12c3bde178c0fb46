package fetch

import (
	"context"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// hold keeps an answer of errors that a client may retry at once, and no records, until
// min(max_wait, errorHold) has passed since the request: some clients ask thousands of times a
// second otherwise.
func (f *fetch) hold(ctx context.Context) {
	held := false
	for i := range f.parts {
		o := &f.parts[i].out
		if o.records.size > 0 || o.code == codeOutOfRange {
			return
		}
		held = held || o.code != 0
	}
	if until := f.start + min(f.maxWait(), errorHold); held && until > f.h.now() {
		f.h.wait(ctx, until, f.draining, f.h.ctx.Done())
	}
}

// reply encodes the answer. The chunks that it refers to are held until it is written.
func (f *fetch) reply() wire.Reply {
	resp := response{version: f.version, sessionID: f.sessionID, committed: f.req.IsolationLevel != 0}
	resp.parts = f.said()
	size := 0
	for i := range resp.parts {
		size += resp.parts[i].records.size
	}
	f.h.metrics.records.Add(float64(size))
	f.h.usage.count(f.parts)
	f.h.deps.count(f.parts)
	return wire.Reply{Gathered: resp.encode(), Throttle: true, Awaited: f.h.reader.awaited, Done: func() {
		f.h.reader.release(f.needs...)
		f.scratch.release()
	}}
}

// said lists what the answer mentions: everything, or, in a session, what has changed.
func (f *fetch) said() []answered {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	out := make([]answered, 0, len(f.parts))
	for i := range f.parts {
		p := &f.parts[i]
		f.freshen(p)
		o := &p.out
		if f.session != nil && !f.session.say(p.ref, o.code, o.high, o.logStart, o.records.size) && f.incremental {
			continue
		}
		out = append(out, *o)
	}
	return out
}

// freshen raises the ends of an answer to what this agent knows by now: another answer may
// have told more while this one was being read, and no answer tells less than one before (I9).
func (f *fetch) freshen(p *part) {
	if p.out.code != 0 {
		return
	}
	if t := f.h.planner.tracks[p.partition]; t != nil && t.confirmed && !p.internal {
		p.out.high = max(p.out.high, t.high)
		p.out.logStart = max(p.out.logStart, t.logStart)
	}
}
