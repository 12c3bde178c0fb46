package main

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// moodyStore answers with err, or not at all until the request's context ends.
type moodyStore struct {
	objstore.Store

	mu     sync.Mutex
	err    error
	silent bool
	asked  int // for the time
}

func (s *moodyStore) mood(err error, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.silent = err, silent
}

func (s *moodyStore) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *moodyStore) request(ctx context.Context) error {
	s.mu.Lock()
	err, silent := s.err, s.silent
	s.mu.Unlock()
	if !silent {
		return err
	}
	<-ctx.Done()
	return objstore.Lost(ctx, "get", "key", false)
}

func (s *moodyStore) GetRange(ctx context.Context, _ string, _, _ int64) ([]byte, error) {
	return nil, s.request(ctx)
}

func (s *moodyStore) PutNew(ctx context.Context, _ string, _ [][]byte, _ uint32) error {
	return s.request(ctx)
}

func (s *moodyStore) Clock(ctx context.Context) (time.Time, error) {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	return time.Time{}, s.request(ctx)
}

// TestSilentBucketIsNoticed plays requests to a bucket in virtual time: it is out of reach when nothing was
// answered for six seconds, and only then asked for its own sake.
func TestSilentBucketIsNoticed(t *testing.T) {
	away := &objstore.Error{Op: "put", Name: "key", Class: objstore.ErrUnavailable}
	for name, c := range map[string]struct {
		err    error
		silent bool
		cut    bool
	}{
		"answers":                     {},
		"is not there":                {err: &objstore.Error{Class: objstore.ErrNoBucket}},
		"denies":                      {err: &objstore.Error{Class: objstore.ErrDenied}},
		"asks for patience":           {err: &objstore.Error{Class: objstore.ErrThrottled}},
		"has the object already":      {err: &objstore.Error{Class: objstore.ErrExists}},
		"refuses connections":         {err: away, cut: true},
		"breaks connections":          {err: &objstore.Error{Class: objstore.ErrUnknownOutcome}, cut: true},
		"says nothing":                {silent: true, cut: true},
		"is asked and nobody listens": {err: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				life, end := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer end()
				bucket := &moodyStore{}
				var told []bool
				s := &watchedStore{Store: bucket, life: life, spawn: func(f func()) { go f() }, tell: func(cut bool) { told = append(told, cut) }}
				use := func(want error) {
					ctx, cancel := context.WithTimeout(life, 5*time.Second)
					defer cancel()
					if err := s.PutNew(ctx, "key", nil, 0); want != nil && !errors.Is(err, want) {
						t.Errorf("the store's answer comes back as %v", err)
					}
					_, _ = s.GetRange(ctx, "key", 0, 1)
				}
				use(nil)
				bucket.mood(c.err, c.silent)
				use(c.err)
				time.Sleep(20 * time.Second)
				synctest.Wait()
				if cut := len(told) == 1 && told[0]; cut != c.cut || len(told) > 1 {
					t.Errorf("told %v", told)
				}
				if !c.cut && bucket.questions() > 0 {
					t.Errorf("a bucket that answers was asked %d times for nothing", bucket.questions())
				}
				bucket.mood(nil, false)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if c.cut && (len(told) != 2 || told[1]) {
					t.Errorf("when it answers again: told %v", told)
				}
				asked := bucket.questions()
				time.Sleep(time.Hour)
				synctest.Wait()
				if bucket.questions() != asked {
					t.Error("it is asked on and on")
				}
			})
		})
	}
}

// TestHandOverWaitsForWhatStands: neighbours that are back a moment before this agent do not cost it its clients.
func TestHandOverWaitsForWhatStands(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	var passedOver standing
	for second, s := range []struct{ so, lasts bool }{
		0: {false, false}, 1: {true, false}, 2: {true, false}, 3: {false, false}, // others were back for two seconds only
		4: {true, false}, 5: {true, false}, 6: {true, false}, 7: {true, true}, 8: {true, true}, 9: {false, false}, 10: {true, false},
	} {
		if got := passedOver.lasts(s.so, 3*time.Second, start.Add(time.Duration(second)*time.Second)); got != s.lasts {
			t.Errorf("after %d s: %v", second, got)
		}
	}
}

// TestShortSilenceIsNothing: a bucket that answers again within six seconds was never out of reach.
func TestShortSilenceIsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bucket := &moodyStore{err: &objstore.Error{Class: objstore.ErrUnavailable}}
		s := &watchedStore{Store: bucket, life: t.Context(), spawn: func(f func()) { go f() }, tell: func(bool) { t.Error("told") }}
		for range 5 {
			_, _ = s.GetRange(t.Context(), "key", 0, 1)
			time.Sleep(4 * time.Second)
			bucket.mood(nil, false)
			time.Sleep(2 * time.Second)
			bucket.mood(&objstore.Error{Class: objstore.ErrUnavailable}, false)
		}
		bucket.mood(nil, false)
		time.Sleep(2 * time.Second)
	})
}
