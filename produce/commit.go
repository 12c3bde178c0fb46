package produce

import (
	"fmt"

	"github.com/isthmusdata/isthmus/internal/segment"
)

// commit sends every commit of s that can be sent: stored segments in order, each naming the one
// before it and every abandoned one between. Abandoned ones with nothing stored behind them are
// named by an empty commit at once, so that their objects can be swept.
func (w *Writer) commit(s *share) {
	for w.phase == live && w.streamUp {
		run := s.unsent()
		n := 0
		for n < len(run) && run[n].state == abandoned {
			n++
		}
		switch {
		case n < len(run) && run[n].state == stored:
			w.send(s, run[:n], run[n])
		case n > 0:
			w.send(s, run[:n-1], run[n-1])
		default:
			return
		}
	}
}

// send sends the commit of g, which names the segments before it as abandoned.
func (w *Writer) send(s *share, before []*sealedSegment, g *sealedSegment) {
	c := &segment.Commit{Session: g.id.Session, Share: s.name, Sequence: g.id.Sequence, After: s.lastSent}
	for _, b := range before {
		c.Abandoned = append(c.Abandoned, b.id.Sequence)
		w.setState(b, named)
	}
	if g.state == stored {
		c.Nonce, c.Losers = g.winner, g.losers()
		c.Manifest, g.rows = g.manifest()
	}
	w.setState(g, sent)
	g.commit, g.firstSent = c, w.now.At
	s.lastSent = g.id.Sequence
	if !w.awaited() {
		w.heard = w.now.At
	}
	w.awaiting++
	w.sendAgain(g)
}

// sendAgain sends g's commit as it was, but for what has been acknowledged since.
func (w *Writer) sendAgain(g *sealedSegment) {
	c := *g.commit
	c.Acked = g.share.told
	w.emitCommit(g.share, &c)
}

func (w *Writer) emitCommit(s *share, c *segment.Commit) {
	s.ackSent = max(s.ackSent, c.Acked)
	w.emit(Effect{Kind: Send, Session: c.Session, Commit: c})
}

// awaited reports whether any commit waits for its answer.
func (w *Writer) awaited() bool { return w.awaiting > 0 }

// resend sends all unanswered commits of s again, in order.
func (w *Writer) resend(s *share) {
	s.resendAt = 0
	for _, g := range s.segs {
		if g.state == sent {
			w.sendAgain(g)
		}
	}
}

// acknowledge tells the control plane that the last answers have arrived, once a share is idle:
// otherwise the next commit says it.
func (w *Writer) acknowledge(s *share) {
	if !w.mayAcknowledge(s) || w.now.At < s.idleSince+w.cfg.AckIdle {
		return
	}
	w.emitCommit(s, &segment.Commit{Session: w.session.ID, Share: s.name, Sequence: s.lastSent, After: s.lastSent, Acked: s.told})
}

func (w *Writer) mayAcknowledge(s *share) bool {
	return w.phase == live && w.streamUp && len(s.segs) == 0 && s.told > s.ackSent
}

// Reply takes what the control plane says of a commit. While the session is asked about nothing
// it said before counts: the answers are heard again when the question is answered.
func (w *Writer) Reply(now Now, r *segment.Reply) {
	w.now = now
	s := w.shares[r.Share]
	if s == nil || r.Session != w.session.ID || w.phase != live && w.phase != resolving {
		return
	}
	w.heard, w.resends = now.At, 0
	g := s.find(r.Sequence)
	if g != nil && g.state != sent {
		g = nil // answered already, or a sequence that this answer cannot be about
	}
	w.decide(s, g, r)
	w.settle()
}

// decide acts on the answer to g, or, if g is nil, to an acknowledgement or a repetition.
func (w *Writer) decide(s *share, g *sealedSegment, r *segment.Reply) {
	switch {
	case r.Outcome == segment.SessionEnded && w.phase == live:
		w.ask(fmt.Sprintf("the control plane says so to commit %s/%d", s.name, r.Sequence))
	case g == nil:
	case r.Outcome == segment.Answered:
		w.answered(g, r.Answers)
	case r.Outcome == segment.Gone:
		w.gone(g, "its answers are no longer kept")
	case r.Outcome == segment.SessionEnded:
		w.notPlaced(g)
	case r.Outcome == segment.OutOfOrder && w.phase == live:
		w.disordered(g, r)
	case r.Outcome == segment.Unauthorized && w.phase == live:
		g.refused = true
		s.deniedTill = w.now.At + w.cfg.UploadDeadline
		w.ask(fmt.Sprintf("it may not write to share %s", s.name))
	case r.Outcome == segment.Unauthorized:
		// Whether it had been placed before the grant was taken is not said.
		w.gone(g, "the grant of its share was taken")
	}
}

// answered gives every batch of g its answer.
func (w *Writer) answered(g *sealedSegment, answers []segment.Answer) {
	if len(answers) != len(g.commit.Manifest.Rows) {
		w.tell(Report{Kind: Protocol, Share: g.share.name, Segment: g.id,
			Text: fmt.Sprintf("%d answers for %d rows", len(answers), len(g.commit.Manifest.Rows))})
		w.gone(g, "its answers do not fit")
		return
	}
	w.tell(Report{Kind: SegmentAnswered, Share: g.share.name, Segment: g.id, Batches: g.left, Took: w.now.At - g.firstSent})
	g.share.outOfOrder = 0
	for i, b := range g.batches {
		if !b.leftOut {
			w.respond(b, g.answer(i, answers[g.rows[i]]))
		}
	}
	w.decided(g)
}

// gone disconnects the clients of g: what became of their batches cannot be known any more, and
// an error would say that they are not placed.
func (w *Writer) gone(g *sealedSegment, why string) {
	if g.left > 0 {
		w.tell(Report{Kind: ClientsDisconnected, Share: g.share.name, Segment: g.id, Batches: g.left, Text: why})
	}
	for _, b := range g.batches {
		if !b.leftOut {
			w.disconnect(b)
		}
	}
	w.decided(g)
}

// notPlaced answers the batches of a commit that its session did not live to see. It is final
// only once the question about the session has been answered.
func (w *Writer) notPlaced(g *sealedSegment) {
	a := refused(codeRetry, "not stored: the agent's session had ended")
	if g.refused {
		a = refused(codeUnauthorized, "the agent's group may not produce to share "+g.share.name)
	}
	for _, b := range g.batches {
		if !b.leftOut {
			w.respond(b, a)
		}
	}
	w.decided(g)
}

// decided ends a sent segment, and with it those that its commit abandoned.
func (w *Writer) decided(g *sealedSegment) {
	s := g.share
	g.left = 0
	w.awaiting--
	w.setState(g, done)
	w.release(g)
	for seq := g.commit.After + 1; seq < g.id.Sequence; seq++ {
		if b := s.find(seq); b != nil {
			w.setState(b, done)
		}
	}
	n := 0
	for n < len(s.segs) && s.segs[n].state == done {
		n++
	}
	if n > 0 {
		s.acked += uint64(n)
		clear(s.segs[:n])
		s.segs = s.segs[n:]
		s.idleSince = w.now.At
		if w.phase == live {
			s.told = s.acked
		}
	}
	w.flush(s)
}

// maxOutOfOrder is how often the first unanswered commit may be called out of order before the
// agent stops believing in its session.
const maxOutOfOrder = 5

// disordered: nothing was done, since a commit before this one got lost. All unanswered ones are
// sent again, when the first of them is told so; the others were told for its sake.
func (w *Writer) disordered(g *sealedSegment, r *segment.Reply) {
	s := g.share
	if g != s.firstSent() || s.resendAt != 0 {
		return
	}
	s.outOfOrder++
	if s.outOfOrder > maxOutOfOrder {
		w.tell(Report{Kind: Protocol, Share: s.name, Segment: g.id,
			Text: fmt.Sprintf("after %d is called out of order, the last is said to be %d", g.commit.After, r.Last)})
		w.ask("its commits are called out of order")
		return
	}
	if s.outOfOrder == 1 {
		w.resend(s)
		return
	}
	s.resendAt = w.now.At + w.backoff(s.outOfOrder)
}

// respond answers a batch.
func (w *Writer) respond(b *Batch, a Answer) {
	w.unanswered--
	w.emit(Effect{Kind: Respond, Batch: b, Answer: a})
}

func (w *Writer) disconnect(b *Batch) {
	w.unanswered--
	w.emit(Effect{Kind: Disconnect, Batch: b, Answer: refused(codeUnknownServerErr, "")})
}

// release lets the bytes of g go, once nobody waits for an answer and no upload reads them.
func (w *Writer) release(g *sealedSegment) {
	if g.left > 0 || g.flying > 0 || g.released {
		return
	}
	g.released = true
	for _, b := range g.batches {
		w.emit(Effect{Kind: Release, Batch: b})
	}
	g.batches, g.sealed = nil, nil
}
