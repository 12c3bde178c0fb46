package fetch

import (
	"container/list"
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/sched"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// fetch is one request on its way: resolve names, look until there is enough or time is up,
// read, answer.
type fetch struct {
	h           *Handler
	req         *kmsg.FetchRequest
	version     int16
	start       time.Duration
	since       uint64
	draining    <-chan struct{}
	session     *session
	sessionID   int32
	incremental bool
	epoch       int32 // the incarnation when the request arrived
	wants       []wanted
	parts       []part
	needs       []*need
	scratch     scratch

	allowance func() int64 // bytes of records that the quota leaves
	allowed   int64        // what it said when there was something to read; 0: nothing is read
	forget    func()       // gives the memory back that the request was charged for; nil: done

	// The handler's lock guards what follows.
	place   *list.Element // among those that wait
	waiter  *waiter       // the latest that it waited by
	hurried bool          // others need the room: answer now
}

// part is one partition of the request.
type part struct {
	wanted
	partition topic.Partition
	share     string // empty: of none
	title     string // the topic's name, also where the client gives its id
	resolved  bool
	internal  bool
	again     bool // the name was looked up once more
	replanned bool // an object was gone
	code      int16
	view      view
	needs     []*need
	chosen    int64        // bytes of needs
	reached   topic.Offset // the end of the last location answered in full
	out       answered
}

// serve answers the request.
func (f *fetch) serve(ctx context.Context) wire.Reply {
	f.scratch.pool = f.h.scratch
	f.parts = make([]part, len(f.wants))
	for i := range f.wants {
		f.parts[i].wanted = f.wants[i]
	}
	f.resolve(ctx)
	f.look(ctx)
	f.allowed = f.allowance()
	f.read(ctx)
	f.hold(ctx)
	f.unpark()
	return f.reply()
}

// maxWait is how long the client lets an answer wait for records.
func (f *fetch) maxWait() time.Duration {
	return min(max(0, time.Duration(f.req.MaxWaitMillis)*time.Millisecond), f.h.cfg.MaxWait)
}

// maxBytes is how many bytes of records the answer may hold, a first batch aside.
func (f *fetch) maxBytes() int64 {
	return min(max(0, int64(f.req.MaxBytes)), f.h.cfg.MaxResponseBytes)
}

// minBytes is how many bytes are worth an answer before the time is up.
func (f *fetch) minBytes() int64 { return min(int64(f.req.MinBytes), f.maxBytes()) }

// look looks at all partitions until the answer is worth sending: there are enough records, or
// an error that cannot wait, or the time is up.
func (f *fetch) look(ctx context.Context) {
	deadline := f.start + f.maxWait()
	waited := false
	for {
		woken := make(chan struct{})
		s := f.lookOnce(func() { close(woken) })
		if f.renamed(ctx, s.refused) {
			f.leave(s.waiter)
			continue
		}
		until := f.until(s, deadline)
		if until <= f.h.now() || s.urgent || !f.park(s.waiter) {
			f.leave(s.waiter)
			return
		}
		if !waited {
			waited = true
			f.h.metrics.waits.Inc()
		}
		again := until
		if s.away {
			again = min(until, f.h.now()+f.h.cfg.AskBackoff)
		}
		switch f.h.wait(ctx, again, woken, f.draining, f.h.ctx.Done()) {
		case 0:
			continue
		case sched.Late:
			if again < until {
				f.leave(s.waiter)
				continue
			}
		}
		f.leave(s.waiter)
		f.lookOnce(nil)
		return
	}
}

// sight is what one look at all partitions came to.
type sight struct {
	waiter  *waiter
	bytes   int64
	open    bool  // a question is open
	blank   bool  // and one of them is about a partition of which nothing is known
	away    bool  // a question has failed and is to be asked again: no news may ever come of it
	errors  bool  // there are errors to be held back
	urgent  bool  // there is an error that the client waits for
	refused []int // partitions whose topic is gone, by a confirmed read
}

// lookOnce looks at every partition, and lists wake to be called on news if it is not nil.
func (f *fetch) lookOnce(wake func()) sight {
	h := f.h
	h.mu.Lock()
	defer h.mu.Unlock()
	s := sight{}
	left := f.maxBytes()
	room := h.cfg.MaxRequestLocations
	var watched []topic.Partition
	now := h.now()
	for i := range f.parts {
		p := &f.parts[i]
		if p.code != 0 {
			s.errors = s.errors || p.code != codeOutOfRange
			s.urgent = s.urgent || p.code == codeOutOfRange
			continue
		}
		if p.internal {
			p.view = emptyLog(p.offset)
		} else {
			p.view = h.planner.look(now, f.since, p.partition, p.offset, max(1, min(int64(p.maxBytes), f.maxBytes())), room)
			room -= len(p.view.locations)
			watched = append(watched, p.partition)
		}
		v := &p.view
		switch v.verdict {
		case ready:
			n := min(v.bytes, int64(max(p.maxBytes, 0)), left)
			if s.bytes == 0 {
				n = max(n, 1)
			}
			s.bytes += n
			left -= n
		case asking:
			s.open = true
			s.blank = s.blank || !v.known
		case away:
			s.away = true
		case refused:
			if v.code == codeOutOfRange {
				s.urgent = true
				break
			}
			s.errors = true
			s.refused = append(s.refused, i)
		}
	}
	if wake != nil {
		s.waiter = &waiter{need: max(1, f.minBytes()-s.bytes), wake: wake}
		h.planner.wait(s.waiter, watched)
	}
	h.ask()
	return s
}

// emptyLog is what is known of a partition that nothing is ever written to.
func emptyLog(offset topic.Offset) view {
	if offset != 0 {
		return view{verdict: refused, code: codeOutOfRange, known: true}
	}
	return view{verdict: atEnd, known: true}
}

// until is when an answer leaves as things stand.
func (f *fetch) until(s sight, deadline time.Duration) time.Duration {
	enough := s.bytes >= f.minBytes() && (s.bytes > 0 || f.req.MinBytes <= 0)
	switch {
	case enough && s.open:
		// Other partitions wait for the control plane, as a rule for a few milliseconds.
		return f.start + f.h.cfg.Patience
	case enough:
		return 0
	case s.blank:
		// Until the first confirmed read there is nothing that could be answered, and an error of
		// another partition is no reason to answer with one here.
		return max(deadline, f.start+f.h.cfg.PlanTimeout)
	case s.errors:
		return f.start + min(f.maxWait(), errorHold)
	case s.open:
		return max(deadline, f.start+f.h.cfg.Patience)
	default:
		return deadline
	}
}

func (f *fetch) leave(w *waiter) {
	if w == nil {
		return
	}
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	w.leave()
}
