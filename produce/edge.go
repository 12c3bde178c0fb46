package produce

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// carryOut does what the writer asks, in order, waiting for nothing.
func (r *Runner) carryOut(effects []Effect) {
	for i := range effects {
		r.do(&effects[i])
	}
	r.letGo()
}

func (r *Runner) do(e *Effect) {
	switch e.Kind {
	case Respond:
		r.m.answered(e.Answer.Code)
		e.Batch.Ref.(*slot).answered(e.Answer)
	case Disconnect:
		e.Batch.Ref.(*slot).disconnected()
	case Release:
		r.released = add(r.released, e.Batch)
		e.Batch.Ref.(*slot).released()
	case CancelUpload:
		if cancel := r.uploads[e.Put.Object.Nonce]; cancel != nil {
			cancel()
		}
	case Send:
		if s := r.streams[e.Session]; s != nil {
			s.push(e.Commit)
		}
	case CloseStream:
		if s := r.streams[e.Session]; s != nil {
			s.cancel()
			delete(r.streams, e.Session)
		}
	case Tell:
		r.tell(e.Report)
	case Drained:
		for _, ready := range r.draining {
			close(ready)
		}
		r.draining = nil
	default:
		r.begin(e)
	}
}

// begin starts what runs on a goroutine of its own; once the runner is stopping, nothing is begun.
func (r *Runner) begin(e *Effect) {
	if r.ctx.Err() != nil {
		return
	}
	switch e.Kind {
	case Upload:
		r.upload(e.Put)
	case OpenStream:
		s := newStream(r, e.Session)
		r.streams[e.Session] = s
		r.tasks.Go(s.run)
	case AskEnd:
		session := e.Session
		r.tasks.Go(func() { r.askEnd(session) })
	case Login:
		last := e.Session
		r.tasks.Go(func() { r.login(last) })
	}
}

func (r *Runner) askEnd(session uint64) {
	for try := 1; ; try++ {
		err := r.deps.Sequencer.EndSession(r.ctx, session)
		if err == nil {
			r.post(func(w *Writer, now Now) { w.SessionResolved(now, session) })
			return
		}
		if r.ctx.Err() != nil {
			return
		}
		if errors.Is(err, topic.ErrDenied) {
			r.denied(err)
			return // the writer asks to be let in
		}
		r.often.Warn("end", "ask what became of the session: will be tried again", "session", session, "error", err)
		pause(r.ctx, r.backoff(try))
	}
}

func (r *Runner) login(last uint64) {
	for try := 1; ; try++ {
		s, err := r.deps.Sequencer.Login(r.ctx)
		switch {
		case r.ctx.Err() != nil:
			return
		case errors.Is(err, topic.ErrDenied):
			r.denied(err)
		case err != nil:
			r.often.Warn("login", "log in to the control plane: will be tried again", "error", err)
		case s.ID == last:
			r.often.Warn("login", "the control plane gave the session that has ended: will be asked again", "session", s.ID)
		default:
			r.log.Info("session started", "session", s.ID, "incarnation", s.Incarnation, "cluster", s.Cluster, "group", s.Group)
			r.m.sessions.Inc()
			r.post(func(w *Writer, now Now) { w.SessionStarted(now, s) })
			return
		}
		pause(r.ctx, r.backoff(try))
	}
}

// denied tells the writer that the control plane does not let the agent in.
func (r *Runner) denied(err error) {
	r.often.Warn("denied", "the control plane does not let the agent in: what clients send is refused", "error", err)
	why := err.Error()
	r.post(func(w *Writer, now Now) { w.Denied(now, why) })
}

// backoff doubles from RetryMin to RetryMax; half of it is chance, so that agents do not return
// to a control plane all at once.
func (r *Runner) backoff(try int) time.Duration {
	d := min(r.cfg.RetryMin<<min(try-1, 20), r.cfg.RetryMax)
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1))
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// tell logs and counts what the writer reports.
func (r *Runner) tell(p *Report) {
	log := r.log.With("share", p.Share, "segment", p.Segment.String())
	switch p.Kind {
	case SegmentStored:
		r.m.segments.WithLabelValues("stored").Inc()
		r.m.segmentBytes.Observe(float64(p.Bytes))
	case SegmentAbandoned:
		r.m.segments.WithLabelValues("abandoned").Inc()
		log.Warn("segment abandoned: its batches get a retriable error", "batches", p.Batches, "bytes", p.Bytes, "reason", p.Text)
	case SegmentAnswered:
		r.m.commitTime.Observe(p.Took.Seconds())
	case HedgeStarted:
		r.m.hedges.WithLabelValues("started").Inc()
	case HedgeWon:
		r.m.hedges.WithLabelValues("won").Inc()
	case HedgeRefused:
		r.m.hedges.WithLabelValues("refused").Inc()
	case ForeignObject:
		r.m.alarms.Inc()
		log.Error("an object lies under a key that only this agent knew: a new key is used; find out who writes to the bucket",
			"nonce", p.Nonce)
	case ClientsDisconnected:
		log.Error("clients disconnected: what became of their batches is not known", "batches", p.Batches, "reason", p.Text)
	case Protocol:
		log.Error("the control plane contradicts itself", "batches", p.Batches, "found", p.Text)
	case Ended:
		r.log.Warn("session is over: asking what became of its commits", "session", p.Segment.Session, "reason", p.Text)
	}
}
