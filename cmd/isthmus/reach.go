package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// An agent that does not hear from the control plane or from its bucket, while its neighbours do, can do
// nothing for its clients that those could not do better.

const (
	// handOverGrace is how long an agent that is cut off waits while its neighbours are not. They may notice
	// a little later what it noticed; and when all were cut off, they may be back a little earlier.
	handOverGrace = 3 * time.Second
	// handOverAgain is how often it looks, and how soon clients that have returned are sent away again.
	handOverAgain = 500 * time.Millisecond
	// bucketSilence is how long a bucket is silent before it counts as out of reach.
	bucketSilence = 6 * time.Second
	// bucketProbe is how often a silent bucket is asked, and bucketPatience how long it may take to answer.
	bucketProbe, bucketPatience = time.Second, 3 * time.Second
)

// cutOff is told whether something that the agent needs is out of its reach. Clients are sent to neighbours
// that reach it: what they have sent here and not heard of they send again, and it gets the same place.
func (a *agent) cutOff(life context.Context, what string, cut bool) {
	a.cuts.Lock()
	defer a.cuts.Unlock()
	before := len(a.cuts.from) > 0
	if cut {
		a.cuts.from[what] = true
	} else {
		delete(a.cuts.from, what)
	}
	now := len(a.cuts.from) > 0
	if now == before {
		return
	}
	if err := a.group.SetCut(now); err != nil {
		a.log.Info("neighbours were not told yet what is out of reach", "cut_off", now, "error", err)
	}
	if now && !a.cuts.handing {
		a.cuts.handing = true
		a.running.Go(func() { a.handOver(life) })
	}
}

// handOver closes clients' connections once others have led in this agent's place for a while. It does so again
// and again: a client returns at once with what it knew before, and would wait for an answer here once more. No
// error can be answered instead, for what was taken before may still be placed.
func (a *agent) handOver(life context.Context) {
	tick := time.NewTicker(handOverAgain)
	defer tick.Stop()
	var passedOver standing
	said := false
	for {
		select {
		case <-life.Done():
			return
		case <-tick.C:
		}
		what := a.outOfReach()
		if len(what) == 0 {
			return // the next to be out of reach begins anew
		}
		if !passedOver.lasts(a.group.PassedOver(), handOverGrace, time.Now()) {
			continue
		}
		if clients := a.server.Disconnect(); clients > 0 && !said {
			said = true
			a.log.Warn("out of reach here and not for neighbours: clients are sent to them", "what", what, "connections_closed", clients)
		}
	}
}

// standing is something that may be so or not, and since when it is.
type standing struct{ since time.Time }

// lasts reports whether it has been so without a break for a while.
func (s *standing) lasts(so bool, while time.Duration, now time.Time) bool {
	switch {
	case !so:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = now
	}
	return so && now.Sub(s.since) >= while
}

// outOfReach is what the agent does not reach; with nothing, hand-over has ended.
func (a *agent) outOfReach() []string {
	a.cuts.Lock()
	defer a.cuts.Unlock()
	a.cuts.handing = len(a.cuts.from) > 0
	return slices.Sorted(maps.Keys(a.cuts.from))
}

// watchedStore notices when a bucket has fallen silent, from the requests that are made anyway; only a silent
// one is asked for its own sake. An answer is an answer, also a refusal.
type watchedStore struct {
	objstore.Store
	life  context.Context // of the agent
	spawn func(func())    // runs a part of the agent
	tell  func(cut bool)  // is called when it changes, one call at a time

	mu     sync.Mutex
	asking bool      // ask is running
	silent time.Time // since when nothing was answered; zero: it answers
	told   bool      // what tell was told last
}

// PutNew implements objstore.Putter.
func (s *watchedStore) PutNew(ctx context.Context, key string, body [][]byte, crc32c uint32) error {
	began := time.Now()
	err := s.Store.PutNew(ctx, key, body, crc32c)
	s.heard(began, err)
	return err
}

// GetRange implements objstore.Getter.
func (s *watchedStore) GetRange(ctx context.Context, key string, position, length int64) ([]byte, error) {
	began := time.Now()
	bytes, err := s.Store.GetRange(ctx, key, position, length)
	s.heard(began, err)
	return bytes, err
}

// Clock implements objstore.Clocked.
func (s *watchedStore) Clock(ctx context.Context) (time.Time, error) {
	return objstore.Clock(ctx, s.Store)
}

// unanswered reports whether a request ended without an answer of the bucket.
func unanswered(err error) bool {
	return errors.Is(err, objstore.ErrUnavailable) || errors.Is(err, objstore.ErrUnknownOutcome) || errors.Is(err, context.DeadlineExceeded)
}

// heard is told what became of a request.
func (s *watchedStore) heard(began time.Time, err error) {
	if errors.Is(err, context.Canceled) {
		return // nobody waited for the answer
	}
	s.mu.Lock()
	switch {
	case !unanswered(err):
		s.silent = time.Time{}
	case s.silent.IsZero():
		s.silent = began
	}
	ask := !s.silent.IsZero() && !s.asking
	s.asking = s.asking || ask
	s.mu.Unlock()
	if ask {
		s.spawn(s.ask)
	}
}

// ask asks a silent bucket until it answers, and tells when it has been silent for too long.
func (s *watchedStore) ask() {
	tick := time.NewTicker(bucketProbe)
	defer tick.Stop()
	for {
		select {
		case <-s.life.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(s.life, bucketPatience)
		_, err := s.Clock(ctx)
		cancel()
		s.heard(began, err)
		s.mu.Lock()
		cut := !s.silent.IsZero() && (s.told || time.Since(s.silent) >= bucketSilence)
		news := cut != s.told
		s.told = cut
		s.mu.Unlock()
		if news {
			s.tell(cut)
		}
		s.mu.Lock()
		s.asking = cut || !s.silent.IsZero() // it may have fallen silent again meanwhile
		asking := s.asking
		s.mu.Unlock()
		if !asking {
			return
		}
	}
}
