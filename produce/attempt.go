package produce

import (
	"fmt"
	"time"

	"github.com/isthmusdata/isthmus/internal/segment"
)

// attempt is one nonce under which a segment is uploaded, tried again and again.
type attempt struct {
	seg   *sealedSegment
	nonce segment.Nonce
	hedge bool
	began time.Duration
	tries int
	// unknown: a try may have stored the object, so that finding it there means success.
	unknown bool
	// retryAt is when to try again; 0 while a try is under way, and for good when it is over.
	retryAt time.Duration
	flying  bool
	over    bool
}

// begin starts a nonce for g.
func (w *Writer) begin(g *sealedSegment, hedge bool) {
	w.try(w.draw(g, hedge))
}

// draw gives g a nonce that nothing has been uploaded under yet.
func (w *Writer) draw(g *sealedSegment, hedge bool) *attempt {
	a := &attempt{seg: g, nonce: w.nonce(), hedge: hedge, began: w.now.At}
	g.attempts = append(g.attempts, a)
	return a
}

// try uploads once under a's nonce.
func (w *Writer) try(a *attempt) {
	a.tries++
	a.retryAt, a.flying = 0, true
	a.seg.flying++
	a.seg.share.rate.Begin(w.now.At)
	w.flights[a.nonce] = a
	w.emit(Effect{Kind: Upload, Session: a.seg.id.Session, Put: w.put(a)})
}

func (w *Writer) put(a *attempt) *Put {
	return &Put{Cluster: w.session.Cluster, Object: a.seg.object(w.session.Group, a.nonce), Sealed: a.seg.sealed, Hedge: a.hedge}
}

// PutDone reports what became of the upload under a nonce.
func (w *Writer) PutDone(now Now, nonce segment.Nonce, result PutResult) {
	w.now = now
	a := w.flights[nonce]
	if a == nil {
		return
	}
	delete(w.flights, nonce)
	a.flying = false
	a.seg.flying--
	switch result {
	case PutThrottled:
		a.seg.share.rate.Refused(now.At)
	case PutRetry, PutUnknown: // the store may not have heard of it
	default:
		a.seg.share.rate.Passed(now.At)
	}
	if a.seg.state == uploading && w.phase == live && !a.over {
		w.landed(a, result)
	}
	w.release(a.seg)
	w.settle()
}

func (w *Writer) landed(a *attempt, result PutResult) {
	g := a.seg
	switch result {
	case PutStored:
		w.stored(a)
	case PutExists:
		if a.unknown {
			w.stored(a) // it was ours that landed
			return
		}
		// Only this agent knows the key, and it has never put anything there.
		w.tell(Report{Kind: ForeignObject, Share: g.share.name, Segment: g.id, Nonce: a.nonce})
		a.over = true
		if len(g.attempts) >= maxNonces {
			w.giveUpUpload(g, "foreign objects lie under its keys")
			return
		}
		w.draw(g, a.hedge).retryAt = w.now.At + w.backoff(len(g.attempts))
	case PutInvalid:
		w.giveUpUpload(g, "the store refuses the object for good")
	case PutUnknown:
		a.unknown = true
		a.retryAt = w.now.At + w.backoff(a.tries)
	case PutDenied:
		a.retryAt = w.now.At + w.cfg.RetryMax
	case PutThrottled:
		a.retryAt = w.now.At + w.cfg.RetryMin // and not before the share's rate lets it
	default:
		a.retryAt = w.now.At + w.backoff(a.tries)
	}
}

// maxNonces bounds the nonces of a segment: its commit names all of them, and the control plane
// takes no more.
const maxNonces = 8

// giveUpUpload abandons g before its deadline, for waiting would not help.
func (w *Writer) giveUpUpload(g *sealedSegment, why string) {
	w.abandon(g, why)
	w.commit(g.share)
	w.flush(g.share)
}

// backoff doubles from RetryMin to RetryMax.
func (w *Writer) backoff(tries int) time.Duration {
	d := w.cfg.RetryMin << min(tries-1, 20)
	return min(d, w.cfg.RetryMax)
}

// stored ends the upload of a's segment: a won, and its commit may follow.
func (w *Writer) stored(a *attempt) {
	g := a.seg
	if first := g.attempts[0]; first.tries == 1 {
		w.pace.observe(g.size, w.now.At-first.began)
	}
	w.tell(Report{Kind: SegmentStored, Share: g.share.name, Segment: g.id, Nonce: a.nonce, Bytes: g.size, Batches: g.left})
	if a.hedge {
		w.tell(Report{Kind: HedgeWon, Share: g.share.name, Segment: g.id, Nonce: a.nonce})
	}
	g.winner = a.nonce
	w.setState(g, stored)
	w.cancel(g)
	w.commit(g.share)
	w.flush(g.share)
}

// cancel ends all attempts of g.
func (w *Writer) cancel(g *sealedSegment) {
	for _, a := range g.attempts {
		a.over, a.retryAt = true, 0
		if a.flying {
			w.emit(Effect{Kind: CancelUpload, Session: g.id.Session, Put: w.put(a)})
		}
	}
}

// press does what time asks of an upload: give it up, try again, hedge.
func (w *Writer) press(g *sealedSegment) {
	if w.now.At >= g.sealedAt+w.cfg.UploadDeadline {
		w.abandon(g, fmt.Sprintf("the upload took longer than %v", w.cfg.UploadDeadline))
		return
	}
	for _, a := range g.attempts {
		if !a.over && a.retryAt != 0 && w.now.At >= max(a.retryAt, g.share.rate.At()) {
			w.try(a)
		}
	}
	if at, ok := w.hedgeAt(g); ok && w.now.At >= at {
		g.hedged = true
		if w.hedges.spend() {
			w.begin(g, true)
			w.tell(Report{Kind: HedgeStarted, Share: g.share.name, Segment: g.id})
		} else {
			w.tell(Report{Kind: HedgeRefused, Share: g.share.name, Segment: g.id})
		}
	}
}

// hedgeAt is when g's upload counts as slow. One that waits to be tried again is not slow but
// failing, and a second nonce would fail as well; and none is worth a second upload where few are let through.
func (w *Writer) hedgeAt(g *sealedSegment) (time.Duration, bool) {
	a := g.attempts[len(g.attempts)-1]
	if g.hedged || !a.flying || g.share.rate.Limited() || w.cfg.HedgeBudget == 0 || len(g.attempts) >= maxNonces {
		return 0, false
	}
	slow, ok := w.pace.slow(g.size)
	return a.began + max(slow, w.cfg.HedgeMin), ok
}

// pressAt is when press has something to do next.
func (w *Writer) pressAt(g *sealedSegment) time.Duration {
	at := g.sealedAt + w.cfg.UploadDeadline
	for _, a := range g.attempts {
		if !a.over && a.retryAt != 0 {
			at = min(at, max(a.retryAt, g.share.rate.At()))
		}
	}
	if h, ok := w.hedgeAt(g); ok {
		at = min(at, h)
	}
	return at
}
