package produce

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// upload tries once to store a segment, and reports.
func (r *Runner) upload(p *Put) {
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.AttemptTimeout)
	if p.Hedge {
		ctx = objstore.Hedging(ctx)
	}
	nonce := p.Object.Nonce
	r.uploads[nonce] = cancel
	r.tasks.Go(func() {
		defer cancel()
		began := time.Now()
		err := r.putOnce(ctx, p)
		result := classify(err)
		r.m.putSeconds.Observe(time.Since(began).Seconds())
		r.m.puts.WithLabelValues(result.String()).Inc()
		if err != nil && !errors.Is(ctx.Err(), context.Canceled) && !errors.Is(err, objstore.ErrDenied) { // who owns the store tells that it denies
			r.complain(result, err)
		}
		r.post(func(w *Writer, now Now) {
			delete(r.uploads, nonce)
			w.PutDone(now, nonce, result)
		})
	})
}

// complain logs a failed attempt, once in a while, with what to try where somebody must act.
func (r *Runner) complain(result PutResult, err error) {
	msg := "upload failed: tried again until its deadline"
	switch result {
	case PutThrottled:
		msg = "the bucket asks for fewer uploads: segments are made larger and sent less often until it takes more"
	case PutDenied:
		msg = "the bucket refuses uploads: check that it exists and that this group's role may put into it"
	case PutInvalid:
		msg = "the store calls the upload invalid: not tried again"
	}
	r.often.Warn("put "+result.String(), msg, "result", result.String(), "error", err)
}

func (r *Runner) putOnce(ctx context.Context, p *Put) error {
	u, err := r.deps.Uploader(ctx, p.Object.Share)
	if err != nil {
		return fmt.Errorf("open the store of share %s: %w: %w", p.Object.Share, objstore.ErrUnavailable, err)
	}
	key := segment.Key(p.Cluster, p.Object)
	if err := u.PutNew(ctx, key, p.Sealed.Body, p.Sealed.CRC); err != nil {
		return fmt.Errorf("upload segment %s of share %s (%d bytes): %w", p.Object.ID, p.Object.Share, p.Sealed.Size, err)
	}
	return nil
}

// classify says what an attempt's error means for the next one. What is not known for certain may
// have been carried out.
func classify(err error) PutResult {
	switch {
	case err == nil:
		return PutStored
	case errors.Is(err, objstore.ErrUnknownOutcome):
		return PutUnknown
	case errors.Is(err, objstore.ErrExists):
		return PutExists
	case errors.Is(err, objstore.ErrThrottled):
		return PutThrottled
	case errors.Is(err, objstore.ErrUnavailable):
		return PutRetry
	case errors.Is(err, objstore.ErrDenied), errors.Is(err, objstore.ErrNoBucket):
		return PutDenied
	case errors.Is(err, objstore.ErrInvalid):
		return PutInvalid
	default:
		return PutUnknown
	}
}
