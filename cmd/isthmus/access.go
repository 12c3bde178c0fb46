package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/internal/objstore"
)

// Whoever may not list a bucket is told 403 of an object that is gone, and of one that it may not read any more. The
// canary tells them apart: an object under a known key that every fetch role may read, written by whoever owns the share.

const (
	// canaryIdle is how long after the last read the canary is asked, while clients fetch. Without clients, and while objects
	// are read, it is not: what is not asked of the bucket costs nothing.
	canaryIdle = 30 * time.Second
	// canaryFresh is how long an answer of the canary counts for other reads that are refused.
	canaryFresh = time.Second
	// accessProbe and accessProbeMax bound the pause between probes while access is lost.
	accessProbe, accessProbeMax = time.Second, 30 * time.Second
	// accessPatience bounds a probe.
	accessPatience = 10 * time.Second
)

// canaryKey is the key of a cluster's canary, and canaryBody what lies there.
func canaryKey(cluster string) string { return cluster + "/" + policy.Canary }

func canaryBody(cluster string) string { return policy.CanaryBody(cluster) }

// probeKey is a key that nobody has used, in the place for probes, which the bucket empties by itself.
func probeKey(cluster, agent string) string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails
	return cluster + "/" + policy.Probes + agent + "/" + hex.EncodeToString(b)
}

type accessDeps struct {
	cluster, agent, role string
	life                 context.Context
	spawn                func(func())
	active               func() bool     // clients have fetched lately
	tell                 func(why error) // access is lost; nil: it is there again. One call at a time
	log                  *slog.Logger
}

// access notices when a bucket refuses an agent in one of its roles, from the requests that are made anyway, and when it
// does not any more. What is refused stays refused to whoever asked: nothing waits here.
type access struct {
	accessDeps
	inner objstore.Store

	telling sync.Mutex // held while tell is told
	mu      sync.Mutex
	lost    error
	told    bool      // what tell was told last
	over    bool      // nobody wants to know any more
	probing bool      // probe is running
	heard   time.Time // when a read was answered last
	seen    bool      // the canary could be read once
	asked   time.Time // when the canary was asked last
	canary  error     // what it answered
	warned  bool
}

func newAccess(inner objstore.Store, deps accessDeps) *access {
	return &access{accessDeps: deps, inner: inner, heard: time.Now()}
}

// PutNew implements objstore.Putter.
func (a *access) PutNew(ctx context.Context, key string, body [][]byte, crc32c uint32) error {
	err := a.inner.PutNew(ctx, key, body, crc32c)
	switch {
	case err == nil, errors.Is(err, objstore.ErrExists):
		a.found()
	case errors.Is(err, objstore.ErrDenied):
		a.lose(err)
	}
	return err
}

// GetRange implements objstore.Getter. An object that is refused while the canary is not is gone (I7).
func (a *access) GetRange(ctx context.Context, key string, position, length int64) ([]byte, error) {
	b, err := a.inner.GetRange(ctx, key, position, length)
	switch {
	case err == nil, errors.Is(err, objstore.ErrNotFound):
		a.found()
	case errors.Is(err, objstore.ErrDenied):
		switch canary := a.askCanary(ctx); {
		case canary == nil:
			a.found()
			return nil, &objstore.Error{Op: "get", Name: key, Class: objstore.ErrNotFound, Cause: errors.New("it is refused, and the canary is not: it is gone")}
		case errors.Is(canary, objstore.ErrDenied):
			a.lose(err)
		}
	}
	return b, err
}

// askCanary reads the canary, or takes an answer that is fresh.
func (a *access) askCanary(ctx context.Context) error {
	a.mu.Lock()
	if !a.asked.IsZero() && time.Since(a.asked) < canaryFresh {
		defer a.mu.Unlock()
		return a.canary
	}
	a.mu.Unlock()
	b, err := a.inner.GetRange(ctx, canaryKey(a.cluster), 0, -1)
	if err == nil && string(b) != canaryBody(a.cluster) {
		err = fmt.Errorf("the canary is another cluster's: %.80q", b)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() == nil {
		a.asked, a.canary = time.Now(), err
		a.seen = a.seen || err == nil
	}
	return err
}

// found notes that the bucket lets the agent in.
func (a *access) found() {
	a.mu.Lock()
	a.heard = time.Now()
	news := a.lost != nil
	a.lost = nil
	a.mu.Unlock()
	if news {
		a.say()
	}
}

// lose notes that it does not, and begins to probe.
func (a *access) lose(why error) {
	a.mu.Lock()
	if a.over || a.lost != nil {
		a.mu.Unlock()
		return
	}
	a.lost = why
	probe := !a.probing
	a.probing = true
	a.mu.Unlock()
	a.say()
	if probe {
		a.spawn(a.probe)
	}
}

// forget ends it: what is no longer granted, or reached by another role, cannot be lost.
func (a *access) forget() {
	a.mu.Lock()
	a.over, a.lost = true, nil
	a.mu.Unlock()
	a.say()
}

// remember begins it anew: the share is granted.
func (a *access) remember() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = false
}

// say tells what holds now, if it was not told yet.
func (a *access) say() {
	a.telling.Lock()
	defer a.telling.Unlock()
	a.mu.Lock()
	why := a.lost
	news := (why != nil) != a.told
	a.told = why != nil
	a.mu.Unlock()
	if news {
		a.tell(why)
	}
}

// probe asks the bucket until it lets the agent in again: a reader for the canary, a writer by storing a probe.
func (a *access) probe() {
	for wait := accessProbe; ; wait = min(2*wait, accessProbeMax) {
		timer := time.NewTimer(wait)
		select {
		case <-a.life.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		a.mu.Lock()
		if a.lost == nil {
			a.probing = false
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
		ctx, cancel := context.WithTimeout(a.life, accessPatience)
		err := a.probeOnce(ctx)
		cancel()
		if err == nil || errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrExists) {
			a.found()
		}
	}
}

func (a *access) probeOnce(ctx context.Context) error {
	if a.role == "produce" {
		body := [][]byte{[]byte("isthmus probe of agent " + a.agent + "\n")}
		return a.inner.PutNew(ctx, probeKey(a.cluster, a.agent), body, objstore.Sum(body))
	}
	return a.askCanary(ctx)
}

// watchIdle asks for the canary while clients fetch and nothing is read, so that they are not kept waiting by an agent that could
// read nothing if there were something. A canary that could never be read tells nothing but that.
func (a *access) watchIdle() {
	tick := time.NewTicker(canaryIdle)
	defer tick.Stop()
	for {
		select {
		case <-a.life.Done():
			return
		case <-tick.C:
			a.lookIdle(time.Now())
		}
	}
}

func (a *access) lookIdle(now time.Time) {
	a.mu.Lock()
	idle := a.lost == nil && !a.over && now.Sub(a.heard) >= canaryIdle
	a.mu.Unlock()
	if !idle || !a.active() {
		return
	}
	ctx, cancel := context.WithTimeout(a.life, accessPatience)
	defer cancel()
	err := a.askCanary(ctx)
	a.mu.Lock()
	seen, warn := a.seen, !a.warned
	denied := errors.Is(err, objstore.ErrDenied)
	a.warned = a.warned || denied && !seen
	a.mu.Unlock()
	switch {
	case err == nil:
		a.found()
	case denied && seen:
		a.lose(err)
	case denied && warn:
		a.log.Warn("the canary cannot be read: either it was never written (isthmus share canary) or access is refused; what is refused later cannot be told from what is gone", "error", err)
	}
}

// lostAccess is told that a bucket refuses the agent in one of its roles, or does not any more. Clients go to neighbours that are
// let in; where there are none, they are answered with errors that they try again after.
func (a *agent) lostAccess(life context.Context, share, role string, why error) {
	what := role + " on share " + share
	a.cuts.Lock()
	if why != nil {
		a.cuts.lost[what] = why
	} else {
		delete(a.cuts.lost, what)
	}
	a.cuts.Unlock()
	if why != nil {
		a.log.Error("storage_access_revoked: the bucket refuses this agent; nothing is acknowledged or read there until it does not", "share", share, "role", role, "error", why)
	} else {
		a.log.Info("storage access restored", "share", share, "role", role)
	}
	a.cutOff(life, "access to "+what, why != nil)
}

// lostAccesses says what the agent is not let into; nil is nothing.
func (a *agent) lostAccesses() error {
	a.cuts.Lock()
	defer a.cuts.Unlock()
	var faults []error
	for what, why := range a.cuts.lost {
		faults = append(faults, fmt.Errorf("storage_access_revoked: %s: %w", what, why))
	}
	return errors.Join(faults...)
}
