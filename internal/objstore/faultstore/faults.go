package faultstore

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// nodes is how many nodes the imagined service has: a slow one holds up that part of the keys.
const nodes = 8

// faults is the hook that lets requests fail.
type faults struct {
	rules   []Rule
	options Options

	mu        sync.Mutex
	rng       *rand.Rand
	slowNode  uint32
	slowUntil time.Time
	slowBy    time.Duration

	late sync.WaitGroup
}

// NewFaults lets requests of a store fail by these rules.
func NewFaults(inner objstore.Store, rules []Rule, o Options) *Store {
	o = o.withDefaults()
	return &Store{inner: inner, hook: &faults{rules: rules, options: o, rng: o.rng(2)}}
}

// fate is what was drawn for a call.
type fate struct {
	wait  time.Duration
	kind  string // of the fault; empty: none
	times []time.Duration
}

// draw decides a call: in the order of calls, with two draws for each rule whatever
// becomes of it. The first rule that hits is the one that happens.
func (f *faults) draw(c call) (drawn fate) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.options.Now()
	for _, r := range f.rules {
		hit, node := f.rng.Float64() < r.Chance, f.rng.Uint32N(nodes)
		switch {
		case !hit || !r.fits(c):
		case r.Kind == "slow":
			f.slowNode, f.slowUntil, f.slowBy = node, now.Add(r.Times[0]), r.Times[1]
		case drawn.kind == "":
			drawn.kind, drawn.times = r.Kind, r.Times
		}
	}
	if now.Before(f.slowUntil) && nodeOf(c.key) == f.slowNode {
		drawn.wait = f.slowBy
	}
	return drawn
}

func nodeOf(key string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(key)) // never fails
	return h.Sum32() % nodes
}

func (f *faults) around(ctx context.Context, c call, do func(context.Context) (int64, error)) error {
	if err := objstore.Ended(ctx, c.op, c.key); err != nil {
		return err
	}
	drawn := f.draw(c)
	fail := func(class error, format string, a ...any) error {
		return &objstore.Error{Op: c.op, Name: c.key, Class: class, Cause: fmt.Errorf("injected fault %s: "+format, append([]any{drawn.kind}, a...)...)}
	}
	switch drawn.kind {
	case "error":
		return fail(objstore.ErrUnavailable, "not carried out")
	case "503":
		return fail(objstore.ErrThrottled, "slow down")
	case "late":
		f.carryOutLate(ctx, c, drawn.times[0])
		return fail(objstore.ErrUnknownOutcome, "not carried out yet")
	}
	if drawn.wait > 0 && f.options.Sleep(ctx, drawn.wait) != nil {
		return objstore.Lost(ctx, c.op, c.key, c.write)
	}
	n, err := do(ctx)
	switch {
	case drawn.kind == "lost" && c.write && !errors.Is(err, objstore.ErrInvalid):
		return fail(objstore.ErrUnknownOutcome, "answer lost")
	case drawn.kind == "lost" && err == nil:
		return fail(objstore.ErrUnavailable, "answer lost")
	case drawn.kind == "torn" && err == nil:
		return fail(objstore.ErrUnavailable, "answer broke off after %d of %d bytes", n/2, n)
	}
	return err
}

// carryOutLate lets a request happen after its caller was told that nobody knows. What becomes
// of it is told to nobody.
func (f *faults) carryOutLate(ctx context.Context, c call, after time.Duration) {
	request := c.late()
	ctx = context.WithoutCancel(ctx)
	f.late.Go(func() {
		if f.options.Sleep(ctx, after) == nil {
			_ = request(ctx)
		}
	})
}

func (f *faults) close() { f.late.Wait() }
