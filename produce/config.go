package produce

import (
	"errors"
	"fmt"
	"time"
)

// Config says when segments are closed, how uploads are tried, and how much may be under way.
type Config struct {
	// FlushInterval is the least distance between two flushes of a share: spacing, not a wait.
	FlushInterval time.Duration
	// FlushBytes closes a segment at once, in bytes of batches.
	FlushBytes int
	// IdleWait is how long the first batch after an idle time waits for company.
	IdleWait time.Duration

	// UploadDeadline is counted from the sealing of a segment; one not stored by then is abandoned.
	UploadDeadline time.Duration
	// AttemptTimeout bounds one PUT; its outcome is then unknown and it is tried again.
	AttemptTimeout time.Duration
	// RetryMin and RetryMax bound the pause between two tries of one upload, and between
	// attempts to reach the control plane; it doubles.
	RetryMin, RetryMax time.Duration
	// HedgeBudget is the share of uploads that may be hedged: 0.1 is one in ten.
	HedgeBudget float64
	// HedgeMin is the least time an upload is given before it is hedged.
	HedgeMin time.Duration

	// MaxUploads caps the segments of a share that are being uploaded.
	MaxUploads int
	// MaxSegments caps the segments of a share that are sealed and not yet answered.
	MaxSegments int
	// Memory caps the bytes of batches that are accepted and not yet let go; past it handlers wait.
	Memory int64

	// AnswerTimeout is the longest a batch is in the agent without its commit having been sent; then it
	// is answered with a retriable error. Until it is sealed, a client's own, shorter timeout counts instead.
	AnswerTimeout time.Duration
	// StreamGrace is how long segments are still sealed after the control plane was lost.
	StreamGrace time.Duration
	// ResendAfter is how long a commit waits for any answer before all are sent again.
	ResendAfter time.Duration
	// ResolveTimeout bounds the search for the answers of an ended session: the control plane
	// keeps them no longer. Clients still waiting then are disconnected.
	ResolveTimeout time.Duration
	// AckIdle is how long a share is idle before it acknowledges the last answers.
	AckIdle time.Duration

	// Validation is "headers", or "deep": records are decompressed and checked one by one.
	Validation string
	// MaxInflated bounds what one batch may decompress to, in bytes, when Validation is "deep".
	MaxInflated int
}

// Validation depths.
const (
	ValidateHeaders = "headers"
	ValidateDeep    = "deep"
)

// Default is the configuration for production.
func Default() Config {
	return Config{
		FlushInterval:  200 * time.Millisecond,
		FlushBytes:     4 << 20,
		IdleWait:       10 * time.Millisecond,
		UploadDeadline: 15 * time.Second,
		AttemptTimeout: 5 * time.Second,
		RetryMin:       50 * time.Millisecond,
		RetryMax:       2 * time.Second,
		HedgeBudget:    0.1,
		HedgeMin:       20 * time.Millisecond,
		MaxUploads:     32,
		MaxSegments:    256,
		Memory:         512 << 20,
		AnswerTimeout:  30 * time.Second,
		StreamGrace:    2 * time.Second,
		ResendAfter:    5 * time.Second,
		ResolveTimeout: 10 * time.Minute,
		AckIdle:        time.Second,
		Validation:     ValidateHeaders,
		MaxInflated:    128 << 20,
	}
}

// maxLife bounds how long a batch may wait in an agent before its commit is sent. The control plane
// says OUT_OF_ORDER_SEQUENCE (45) when a gap has stood for 45 s, and clients take that for the death of
// the batch before it: by then it must have been given up, or its agent's session, with a lease of 10 s,
// have ended.
const maxLife = 30 * time.Second

// Validate reports every fault at once.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	between := func(name string, d, low, high time.Duration) {
		check(d >= low && d <= high, "%s must be from %v to %v, not %v", name, low, high, d)
	}
	between("flush interval", c.FlushInterval, 25*time.Millisecond, time.Second)
	check(c.FlushBytes >= 64<<10 && c.FlushBytes <= 64<<20, "flush bytes must be from 64KiB to 64MiB, not %d bytes", c.FlushBytes)
	between("idle wait", c.IdleWait, 0, c.FlushInterval)
	between("upload deadline", c.UploadDeadline, time.Second, maxLife)
	between("attempt timeout", c.AttemptTimeout, 100*time.Millisecond, c.UploadDeadline)
	between("retry min", c.RetryMin, time.Millisecond, c.RetryMax)
	between("retry max", c.RetryMax, time.Millisecond, c.UploadDeadline)
	check(c.HedgeBudget >= 0 && c.HedgeBudget <= 1, "hedge budget must be from 0 to 1, not %v", c.HedgeBudget)
	between("hedge min", c.HedgeMin, 0, c.UploadDeadline)
	check(c.MaxUploads >= 1, "max uploads must be above 0, not %d", c.MaxUploads)
	check(c.MaxSegments >= c.MaxUploads, "max segments (%d) must be at least max uploads (%d)", c.MaxSegments, c.MaxUploads)
	check(c.Memory >= 2*int64(c.FlushBytes), "memory (%d bytes) must hold two segments of %d bytes", c.Memory, c.FlushBytes)
	between("answer timeout", c.AnswerTimeout, c.UploadDeadline, maxLife)
	between("stream grace", c.StreamGrace, 0, c.AnswerTimeout)
	between("resend after", c.ResendAfter, 100*time.Millisecond, time.Minute)
	between("resolve timeout", c.ResolveTimeout, time.Second, time.Hour)
	between("ack idle", c.AckIdle, 0, time.Minute)
	check(c.Validation == ValidateHeaders || c.Validation == ValidateDeep, "validate must be %q or %q, not %q", ValidateHeaders, ValidateDeep, c.Validation)
	check(c.MaxInflated >= 1<<20, "max inflated must be at least 1MiB, not %d bytes", c.MaxInflated)
	return errors.Join(errs...)
}
