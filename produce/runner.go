package produce

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmusdata/isthmus/internal/meter"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// Deps is what a runner needs of the world.
type Deps struct {
	Sequencer Sequencer
	// Uploader returns the store of a share. It may be called often and from many goroutines.
	Uploader func(ctx context.Context, share string) (Uploader, error)
	Log      *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
	// Meter counts requests and bytes by share; nil counts nothing.
	Meter *meter.Meter
	// Wall is the clock that records are stamped and judged by; nil is time.Now.
	Wall func() time.Time
}

// Runner is the edge around a Writer: one goroutine feeds it inputs and carries out its effects;
// uploads, streams and calls run on goroutines of their own and report back as inputs.
type Runner struct {
	cfg   Config
	deps  Deps
	log   *slog.Logger
	often *wire.RateLog // for what repeats while something is away
	m     *metrics
	start time.Time
	wake  chan struct{} // holds one token when there is input

	mu      sync.Mutex
	batches []*Batch             // to append, in the order of submit
	events  []func(*Writer, Now) // other inputs, in order
	pending room                 // of batches submitted and not released
	freed   chan struct{}        // closed when pending falls; nil while nobody waits
	stopped bool

	// What follows belongs to the goroutine of Run.
	w        *Writer
	ctx      context.Context
	uploads  map[segment.Nonce]context.CancelFunc
	streams  map[uint64]*stream
	released []claim // not yet taken off pending
	draining []chan struct{}

	tasks sync.WaitGroup
}

// NewRunner makes a runner; Run starts it.
func NewRunner(cfg Config, deps Deps) (*Runner, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure produce: %w", err)
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Wall == nil {
		deps.Wall = time.Now
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register produce metrics: %w", err)
	}
	return &Runner{
		cfg: cfg, deps: deps, log: deps.Log, m: m,
		often:   wire.NewRateLog(deps.Log, 10*time.Second),
		start:   time.Now(),
		wake:    make(chan struct{}, 1),
		pending: room{most: cfg.Memory, shares: map[string]int64{}},
		w:       NewWriter(cfg, randomNonce),
		uploads: make(map[segment.Nonce]context.CancelFunc),
		streams: make(map[uint64]*stream),
	}, nil
}

func randomNonce() (n segment.Nonce) {
	rand.Read(n[:]) // never fails: crypto/rand ends the process instead
	return n
}

// Run works until ctx ends; then every client still waiting is disconnected. It is called once.
func (r *Runner) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	r.ctx = ctx
	defer r.stop(cancel)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	r.w.Start(r.now())
	var in inputs
	var effects []Effect
	for {
		effects = r.w.Effects(effects[:0])
		r.carryOut(effects)
		clear(effects)
		at, ticking := r.w.Wake()
		if ticking {
			timer.Reset(max(0, at-time.Since(r.start)))
		} else {
			timer.Stop()
		}
		select {
		case <-r.wake:
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		now := r.now()
		r.take(&in)
		in.feed(r.w, now)
		if ticking && now.At >= at {
			r.w.Tick(now)
		}
	}
}

// inputs are what came in since the last time.
type inputs struct {
	batches []*Batch
	events  []func(*Writer, Now)
}

func (r *Runner) take(in *inputs) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in.batches, r.batches = r.batches, in.batches[:0]
	in.events, r.events = r.events, in.events[:0]
}

func (in *inputs) feed(w *Writer, now Now) {
	if len(in.batches) > 0 {
		w.Append(now, in.batches...)
	}
	for _, f := range in.events {
		f(w, now)
	}
	clear(in.batches)
	clear(in.events)
}

func (r *Runner) now() Now {
	return Now{At: time.Since(r.start), Unix: r.deps.Wall().UnixMilli()}
}

// post gives the writer an input.
func (r *Runner) post(f func(*Writer, Now)) {
	r.mu.Lock()
	r.events = append(r.events, f)
	r.mu.Unlock()
	r.signal()
}

func (r *Runner) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

var (
	errStopped = errors.New("the agent is stopping")
	errFull    = errors.New("the agent's memory is full of batches that cannot be stored")
)

// submit gives batches to the writer; those of one caller arrive in the order of its calls. Past
// the memory cap it waits, so that the socket is not read, but no longer than patience.
func (r *Runner) submit(ctx context.Context, patience time.Duration, batches []*Batch) error {
	var few [2]claim
	claims := few[:0]
	for _, b := range batches {
		claims = add(claims, b)
	}
	r.mu.Lock()
	if !r.stopped && !r.pending.fits(claims) {
		began := time.Now()
		if err := r.await(ctx, patience, claims); err != nil {
			return err
		}
		for _, b := range batches {
			b.Waited = time.Since(began)
		}
	}
	defer r.mu.Unlock()
	if r.stopped {
		return errStopped
	}
	r.pending.take(claims)
	r.batches = append(r.batches, batches...)
	r.signal()
	return nil
}

// await waits until claims fit. It is called, and returns nil, with mu held; with an error it does not hold it.
func (r *Runner) await(ctx context.Context, patience time.Duration, claims []claim) error {
	began := time.Now()
	defer func() { r.m.blocked.Observe(time.Since(began).Seconds()) }()
	timer := time.NewTimer(r.cfg.patience(patience))
	defer timer.Stop()
	for !r.stopped && !r.pending.fits(claims) {
		if r.freed == nil {
			r.freed = make(chan struct{})
		}
		freed := r.freed
		r.mu.Unlock()
		select {
		case <-freed:
		case <-timer.C:
			return errFull
		case <-ctx.Done():
			return ctx.Err()
		}
		r.mu.Lock()
	}
	return nil
}

// letGo gives memory back.
func (r *Runner) letGo() {
	if len(r.released) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending.give(r.released)
	r.released = r.released[:0]
	r.wakeWaiters()
}

func (r *Runner) wakeWaiters() {
	if r.freed != nil {
		close(r.freed)
		r.freed = nil
	}
}

// SessionEnded tells that a heartbeat was answered so.
func (r *Runner) SessionEnded(session uint64) {
	r.post(func(w *Writer, now Now) { w.SessionEnded(now, session) })
}

// Drain flushes and returns when every batch is answered, or when ctx ends.
func (r *Runner) Drain(ctx context.Context) error {
	ready := make(chan struct{})
	r.post(func(w *Writer, now Now) {
		r.draining = append(r.draining, ready)
		w.Drain(now)
	})
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain produce: %w", context.Cause(ctx))
	}
}

// stop disconnects who still waits, ends all goroutines and lets everything go.
func (r *Runner) stop(cancel context.CancelFunc) {
	cancel()
	r.mu.Lock()
	r.stopped = true
	r.wakeWaiters()
	r.mu.Unlock()
	var in inputs
	r.take(&in)
	in.feed(r.w, r.now())
	r.w.Abort(r.now())
	r.carryOut(r.w.Effects(nil))
	r.tasks.Wait()
	r.take(&in) // the last uploads report, so that the bytes they read are let go
	in.feed(r.w, r.now())
	r.carryOut(r.w.Effects(nil))
}
