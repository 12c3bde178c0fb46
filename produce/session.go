package produce

import "github.com/isthmusdata/isthmus/internal/segment"

// phase is where the writer stands with its session:
//
//	loggingIn → live → asking → resolving → loggingIn …
//	                         → loggingIn, when the control plane does not let the agent in
//
// A session is left only by asking the control plane to end it. When that is answered, "not
// placed" is final; until then no sent segment is answered, for its commit may still be under
// way to a leader that does not know yet.
type phase uint8

const (
	loggingIn phase = iota + 1
	live
	asking
	resolving
)

// Session is the agent's fenced lease with the control plane.
type Session struct {
	ID          uint64
	Incarnation uint32
	Cluster     string // name: the first part of every key
	Group       string
}

// Start asks for the first session.
func (w *Writer) Start(now Now) {
	w.now = now
	w.login()
}

func (w *Writer) login() {
	w.phase = loggingIn
	w.emit(Effect{Kind: Login, Session: w.session.ID})
}

// SessionStarted brings a new session. One that is not newer than the last has ended already.
func (w *Writer) SessionStarted(now Now, s Session) {
	w.now = now
	if w.phase != loggingIn {
		return
	}
	if s.Incarnation == w.session.Incarnation && s.ID <= w.session.ID {
		w.login()
		return
	}
	w.session, w.phase = s, live
	w.denied, w.deniedTill = "", 0
	w.streamUp, w.streamDown, w.resends = false, now.At, 0
	w.emit(Effect{Kind: OpenStream, Session: s.ID})
	for _, one := range w.order {
		one.reset()
		w.flush(one)
	}
}

// SessionEnded brings news, from a heartbeat, that the session has ended. It is news, not proof.
func (w *Writer) SessionEnded(now Now, session uint64) {
	w.now = now
	if session == w.session.ID && w.phase == live {
		w.ask("a heartbeat says so")
	}
}

// SessionDenied says that the control plane no longer takes commits of the session.
func (w *Writer) SessionDenied(now Now, session uint64) {
	w.now = now
	if session == w.session.ID && w.phase == live {
		w.ask("the control plane takes no commits of it any more")
	}
}

// ask has the control plane end the session. Nothing is sealed, sent or uploaded any more.
func (w *Writer) ask(why string) {
	w.tell(Report{Kind: Ended, Segment: segment.ID{Incarnation: w.session.Incarnation, Session: w.session.ID}, Text: why})
	w.phase = asking
	w.emit(Effect{Kind: AskEnd, Session: w.session.ID})
	for _, s := range w.order {
		for _, g := range s.segs {
			if g.state == uploading {
				w.cancel(g)
			}
		}
	}
}

// SessionResolved says that the question is answered: the session has ended. What was sent is
// sent once more, to learn the answers; what was not sent gets an error, and nothing moves to
// the next session.
func (w *Writer) SessionResolved(now Now, session uint64) {
	w.now = now
	if session != w.session.ID || w.phase != asking {
		return
	}
	w.phase, w.resolveBy = resolving, now.At+w.cfg.ResolveTimeout
	w.heard, w.resends = now.At, 0
	a := refused(codeRetry, "not stored: the agent's session had ended")
	for _, s := range w.order {
		for _, g := range s.segs {
			if g.unsent() {
				w.failUnsent(g, a)
			}
		}
		w.dropOpen(s, a, func(*Batch) bool { return true })
		if w.streamUp {
			w.resend(s)
		}
	}
	w.settle()
}

// failUnsent answers the batches of a segment that will never be committed.
func (w *Writer) failUnsent(g *sealedSegment, a Answer) {
	for _, b := range g.batches {
		if !b.leftOut {
			b.leftOut = true
			w.respond(b, a)
		}
	}
	g.left = 0
	w.setState(g, done)
	w.release(g)
}

// Denied says that the control plane does not let the agent in: no session is given, or the end of the last one not
// told. What waits is refused, and so is what comes while the denial is fresh. What became of commits that were sent will
// not be said, so their clients are disconnected.
func (w *Writer) Denied(now Now, why string) {
	w.now = now
	if w.phase != asking && w.phase != loggingIn {
		return
	}
	w.denied, w.deniedTill = why, now.At+w.cfg.UploadDeadline
	a := w.denial()
	for _, s := range w.order {
		for _, g := range append([]*sealedSegment(nil), s.segs...) {
			switch {
			case g.unsent():
				w.failUnsent(g, a)
			case g.state == sent:
				w.gone(g, "the control plane no longer speaks to this agent")
			}
		}
		w.dropOpen(s, a, everyBatch)
	}
	if w.phase == asking {
		w.emit(Effect{Kind: CloseStream, Session: w.session.ID})
		w.streamUp = false
		w.login()
	}
	w.settle()
}

func everyBatch(*Batch) bool { return true }

// denial is the answer while the agent is not let in.
func (w *Writer) denial() Answer {
	return refused(codeUnauthorized, "the control plane does not let this agent in: "+w.denied)
}

// resolve gives up on answers that the control plane no longer keeps.
func (w *Writer) resolve() {
	if w.phase != resolving || w.now.At < w.resolveBy {
		return
	}
	for _, s := range w.order {
		for _, g := range append([]*sealedSegment(nil), s.segs...) {
			if g.state == sent {
				w.gone(g, "the control plane could not be asked in time")
			}
		}
	}
}

// StreamUp says that commits of the session can be sent: those without an answer come first.
func (w *Writer) StreamUp(now Now, session uint64) {
	w.now = now
	if session != w.session.ID || w.phase == loggingIn {
		return
	}
	w.streamUp, w.heard, w.resends = true, now.At, 0
	if w.phase == asking {
		return
	}
	for _, s := range w.order {
		s.ackSent = 0
		w.resend(s)
		w.commit(s)
		w.flush(s)
	}
}

// StreamDown says that the stream is broken. Commits that were given to it may have arrived.
func (w *Writer) StreamDown(now Now, session uint64) {
	w.now = now
	if session == w.session.ID && w.streamUp {
		w.streamUp, w.streamDown = false, now.At
	}
}

// settle leaves a session when nothing of it is open any more, and ends a drain.
func (w *Writer) settle() {
	if w.phase == resolving && !w.awaited() {
		w.emit(Effect{Kind: CloseStream, Session: w.session.ID})
		w.streamUp = false
		w.login()
	}
	if w.draining && !w.drained && w.unanswered == 0 {
		w.drained = true
		w.emit(Effect{Kind: Drained})
	}
}
