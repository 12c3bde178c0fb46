package produce

import (
	"math"
	"time"

	"github.com/isthmusdata/isthmus/internal/segment"
)

// Now is a moment by both of the edge's clocks.
type Now struct {
	At   time.Duration // since the agent started, by the monotonic clock
	Unix int64         // milliseconds, by the wall clock: only records are stamped with it
}

// Writer decides everything between a batch that was accepted and its answer: when a segment is
// sealed, how it is uploaded, in what order it is committed, and what its clients are told. It is
// a state machine: inputs are its methods, outputs are effects; it reads no clock, draws no random
// number and starts no goroutine, so that a seed replays it. It is not safe for concurrent use.
//
// These hold between inputs:
//
//   - a batch is answered, or its client disconnected, exactly once
//   - after the commit of a segment was sent, its batches are answered by the control plane's word alone
//   - commits of a share are first sent in the order of their sequences, and every sequence is
//     named by exactly one of them
//   - a nonce never serves two segments, and nothing is uploaded under a session that is not live
type Writer struct {
	cfg   Config
	nonce func() segment.Nonce
	now   Now
	out   []Effect

	phase      phase
	session    Session       // the live one, or the last
	streamUp   bool          // commits can be sent
	streamDown time.Duration // since when they cannot, if they cannot
	heard      time.Duration // the last answer, or the moment from which one is awaited
	resends    int           // since the last answer
	resolveBy  time.Duration // resolving: when the answers are given up
	denied     string        // why the control plane does not let the agent in
	deniedTill time.Duration // batches are refused until then for it

	shares   map[string]*share
	order    []*share // as they were first seen: nothing depends on the order of a map
	flights  map[segment.Nonce]*attempt
	awaiting int // commits sent and not answered

	pace       pace
	hedges     budget
	unanswered int // batches
	draining   bool
	drained    bool
}

// NewWriter makes a writer; nonce is called for every attempt and must never repeat itself.
func NewWriter(cfg Config, nonce func() segment.Nonce) *Writer {
	return &Writer{
		cfg: cfg, nonce: nonce,
		shares:  make(map[string]*share),
		flights: make(map[segment.Nonce]*attempt),
		hedges:  budget{share: cfg.HedgeBudget},
	}
}

// Append takes batches in the order in which they are to be placed.
func (w *Writer) Append(now Now, batches ...*Batch) {
	w.now = now
	for _, b := range batches {
		b.receive(now.At, &w.cfg)
		w.unanswered++
		w.drained = false
		s := w.share(b.Share)
		if now.At < w.deniedTill {
			w.refuse([]*Batch{b}, w.denial())
			continue
		}
		if s.deniedTill != 0 && now.At < s.deniedTill {
			w.refuse([]*Batch{b}, refused(codeUnauthorized, "the agent's group may not produce to share "+s.name))
			continue
		}
		s.open.add(b)
		if s.open.full(&w.cfg) {
			w.flush(s)
		}
	}
	for _, s := range w.order {
		w.flush(s)
	}
}

func (w *Writer) share(name string) *share {
	s := w.shares[name]
	if s == nil {
		s = &share{name: name}
		s.reset()
		w.shares[name] = s
		w.order = append(w.order, s)
	}
	return s
}

// Tick does what time has made due. The edge calls it no later than Wake said.
func (w *Writer) Tick(now Now) {
	w.now = now
	for _, s := range w.order {
		w.tickShare(s)
	}
	w.resolve()
	if at, ok := w.hearAt(); ok && now.At >= at {
		w.heard = now.At
		w.resends++
		for _, s := range w.order {
			w.resend(s)
		}
	}
	w.settle()
}

func (w *Writer) tickShare(s *share) {
	if w.phase == live {
		for _, g := range s.unsent() {
			if g.state == uploading {
				w.press(g)
			}
		}
	}
	w.expire(s)
	if s.resendAt != 0 && w.now.At >= s.resendAt && w.streamUp && w.phase == live {
		w.resend(s)
	}
	w.commit(s)
	w.flush(s)
	w.acknowledge(s)
}

// hearAt is when an answer is so late that all unanswered commits are sent again.
func (w *Writer) hearAt() (time.Duration, bool) {
	if !w.streamUp || !w.awaited() || w.phase != live && w.phase != resolving {
		return 0, false
	}
	return w.heard + w.cfg.ResendAfter<<min(w.resends, 3), true
}

// Wake is when Tick has something to do next; ok is false if only another input can change anything.
func (w *Writer) Wake() (at time.Duration, ok bool) {
	at = math.MaxInt64
	for _, s := range w.order {
		at = min(at, w.wakeShare(s))
	}
	if h, ok := w.hearAt(); ok {
		at = min(at, h)
	}
	if w.phase == resolving {
		at = min(at, w.resolveBy)
	}
	return at, at != math.MaxInt64
}

func (w *Writer) wakeShare(s *share) time.Duration {
	at := time.Duration(math.MaxInt64)
	if len(s.open.batches) > 0 {
		at = min(at, s.open.giveUp)
		if w.maySealThen(s) {
			at = min(at, max(s.flushAt(&w.cfg), s.rate.At()))
		}
	}
	for _, g := range s.unsent() {
		if g.state == uploading && w.phase == live {
			at = min(at, w.pressAt(g), g.giveUp)
		} else if g.unsent() {
			at = min(at, g.giveUp)
		}
	}
	if s.resendAt != 0 && w.streamUp && w.phase == live {
		at = min(at, s.resendAt)
	}
	if w.mayAcknowledge(s) {
		at = min(at, s.idleSince+w.cfg.AckIdle)
	}
	return at
}

// Drain has everything sealed without waiting, now and from now on; Drained follows when nothing is
// unanswered.
func (w *Writer) Drain(now Now) {
	w.now = now
	w.draining, w.drained = true, false // whoever asks again is told again
	for _, s := range w.order {
		w.flush(s)
	}
	w.settle()
}

// Abort disconnects every client that waits: the process is about to end.
func (w *Writer) Abort(now Now) {
	w.now = now
	for _, s := range w.order {
		for _, g := range s.segs {
			for _, b := range g.batches {
				if g.left > 0 && !b.leftOut {
					w.disconnect(b)
				}
			}
			g.left = 0
			w.cancel(g)
			w.release(g)
		}
		for _, b := range s.open.batches {
			w.disconnect(b)
			w.emit(Effect{Kind: Release, Batch: b})
		}
		s.open.replace(nil)
		s.reset()
	}
	w.awaiting = 0
	w.phase = loggingIn
}

// Unanswered is the number of batches that wait for an answer.
func (w *Writer) Unanswered() int { return w.unanswered }

// Effects appends what the edge is to do, in order, to dst, and forgets it.
func (w *Writer) Effects(dst []Effect) []Effect {
	dst = append(dst, w.out...)
	clear(w.out)
	w.out = w.out[:0]
	return dst
}

func (w *Writer) emit(e Effect) { w.out = append(w.out, e) }

func (w *Writer) tell(r Report) { w.emit(Effect{Kind: Tell, Report: &r}) }

// setState moves a segment on; it keeps the count of uploads.
func (w *Writer) setState(g *sealedSegment, to segState) {
	if g.state == uploading {
		g.share.uploading--
	}
	g.state = to
}
