package produce

import "fmt"

// abandon gives up a segment whose commit has not been sent. Only this agent could have committed
// it, so its batches are answered at once; the next commit names it. Batches of the same lanes
// that came later would be refused as a gap, or, worse, wait for a client that resends in
// another order: they get the same answer and are left out.
func (w *Writer) abandon(g *sealedSegment, why string) {
	w.tell(Report{Kind: SegmentAbandoned, Share: g.share.name, Segment: g.id, Bytes: g.size, Batches: g.left, Text: why})
	w.setState(g, abandoned)
	w.cancel(g)
	a := refused(codeRetry, "not stored: "+why)
	lanes := make(map[lane]bool)
	for _, b := range g.batches {
		if b.leftOut {
			continue
		}
		if b.idempotent() {
			lanes[b.lane()] = true
		}
		b.leftOut = true
		w.respond(b, a)
	}
	g.left = 0
	w.release(g)
	w.leaveOut(g.share, lanes, g.id.Sequence, a)
}

// leaveOut answers the batches of lanes in the segments after a sequence and in the open one.
func (w *Writer) leaveOut(s *share, lanes map[lane]bool, after uint64, a Answer) {
	if len(lanes) == 0 {
		return
	}
	for _, g := range s.unsent() {
		if g.id.Sequence <= after || !g.unsent() {
			continue
		}
		for _, b := range g.batches {
			if b.idempotent() && !b.leftOut && lanes[b.lane()] {
				b.leftOut = true
				g.left--
				w.respond(b, a)
			}
		}
		if g.left == 0 {
			// Nothing of it is left to be placed: an empty manifest would only abandon it.
			w.tell(Report{Kind: SegmentAbandoned, Share: s.name, Segment: g.id, Bytes: g.size, Text: "all its batches are left out"})
			w.setState(g, abandoned)
			w.cancel(g)
			w.release(g)
		}
	}
	w.dropOpen(s, a, func(b *Batch) bool { return b.idempotent() && lanes[b.lane()] })
}

// dropOpen answers the open batches for which f is true and takes them out.
func (w *Writer) dropOpen(s *share, a Answer, f func(*Batch) bool) {
	var gone []*Batch
	rest := s.open.batches[:0:0]
	for _, b := range s.open.batches {
		if f(b) {
			gone = append(gone, b)
		} else {
			rest = append(rest, b)
		}
	}
	if len(gone) > 0 {
		s.open.replace(rest)
		w.refuse(gone, a)
	}
}

// refuse answers batches that are in no segment.
func (w *Writer) refuse(batches []*Batch, a Answer) {
	for _, b := range batches {
		w.respond(b, a)
		w.emit(Effect{Kind: Release, Batch: b})
	}
}

// expire answers batches that have waited too long without their commit having been sent.
func (w *Writer) expire(s *share) {
	if s.open.giveUp != 0 && w.now.At >= s.open.giveUp {
		w.expireOpen(s)
	}
	for _, g := range s.unsent() {
		switch {
		case w.now.At < g.giveUp:
		case g.state == stored:
			w.abandon(g, "the control plane could not be reached")
		case g.state == uploading:
			w.abandon(g, fmt.Sprintf("neither stored nor given up %v after it came", w.cfg.AnswerTimeout))
		}
	}
}

func (w *Writer) expireOpen(s *share) {
	lanes := make(map[lane]bool)
	a := refused(codeRetry, "not stored: the control plane or the bucket could not be reached in time")
	w.dropOpen(s, a, func(b *Batch) bool {
		late := w.now.At >= b.giveUp || b.idempotent() && lanes[b.lane()]
		if late && b.idempotent() {
			lanes[b.lane()] = true
		}
		return late
	})
}
