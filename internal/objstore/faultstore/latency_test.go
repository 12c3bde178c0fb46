package faultstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
)

// elapsed is how long a request takes, in the virtual time of the bubble.
func elapsed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// TestLatencyFollowsTheProfile draws many requests and compares median, spread and throughput.
func TestLatencyFollowsTheProfile(t *testing.T) {
	for _, p := range Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewLatency(memstore.New(nil), p, Options{Seed: 1})
				const n = 4000
				puts, gets := make([]time.Duration, n), make([]time.Duration, n)
				for i := range n {
					key := fmt.Sprintf("k/%d", i)
					puts[i] = elapsed(func() { must(t, s.PutNew(t.Context(), key, nil, 0)) })
					gets[i] = elapsed(func() {
						_, err := s.GetRange(t.Context(), key, 0, -1)
						must(t, err)
					})
				}
				checkTimes(t, "put", puts, p.Put)
				checkTimes(t, "get", gets, p.Get)

				body := [][]byte{make([]byte, 64<<20)}
				took := elapsed(func() { must(t, s.PutNew(t.Context(), "large", body, objstore.Sum(body))) })
				transfer := time.Duration(float64(64<<20) / p.Throughput * float64(time.Second))
				if took < transfer || took > transfer+20*p.Put.Median {
					t.Errorf("put of 64 MiB took %v, its bytes alone %v", took, transfer)
				}
			})
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// checkTimes compares a sample with its lognormal distribution: the median, and the 84th percentile, which lies one sigma above.
func checkTimes(t *testing.T, what string, sample []time.Duration, want Times) {
	t.Helper()
	slices.Sort(sample)
	median, above := sample[len(sample)/2], sample[len(sample)*8413/10000]
	if ratio := float64(median) / float64(want.Median); ratio < 0.95 || ratio > 1.05 {
		t.Errorf("%s: median %v, want %v", what, median, want.Median)
	}
	if sigma := math.Log(float64(above) / float64(median)); math.Abs(sigma-want.Sigma) > 0.05 {
		t.Errorf("%s: sigma %.2f, want %.2f", what, sigma, want.Sigma)
	}
}

// TestRateLimit: above the rate of one folder there are refusals that stored nothing; other folders
// and the next second have none.
func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := FindProfile("s3-standard")
		p.PutRate, p.GetRate = 5, 7
		at := time.Unix(1000, 0)
		inner := memstore.New(nil)
		s := NewLatency(inner, p, Options{Now: func() time.Time { return at }})
		throttled := func(folder string, n int) (count int) {
			for i := range n {
				key := fmt.Sprintf("%s/%d-%d", folder, at.Unix(), i)
				switch err := s.PutNew(t.Context(), key, nil, 0); {
				case errors.Is(err, objstore.ErrThrottled):
					count++
					if _, err := inner.Head(t.Context(), key); !errors.Is(err, objstore.ErrNotFound) {
						t.Errorf("%s was refused and stored", key)
					}
				case err != nil:
					t.Error(err)
				}
			}
			return count
		}
		if got := throttled("a", 8); got != 3 {
			t.Errorf("%d of 8 puts refused, want 3", got)
		}
		if got := throttled("b", 5); got != 0 {
			t.Errorf("%d puts in another folder refused", got)
		}
		if _, err := s.Head(t.Context(), "a/1000-0"); err != nil {
			t.Errorf("a read was refused for the writes: %v", err)
		}
		at = at.Add(time.Second)
		if got := throttled("a", 5); got != 0 {
			t.Errorf("%d puts in the next second refused", got)
		}
	})
}

// TestCancelInFlight: a caller that leaves cannot know whether its put happened; a read has simply ended.
func TestCancelInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := FindProfile("s3-standard")
		inner := memstore.New(nil)
		s := NewLatency(inner, p, Options{Seed: 3})
		var stored, lost int
		for i := range 200 {
			key := fmt.Sprintf("k/%d", i)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			err := s.PutNew(ctx, key, nil, 0)
			cancel()
			_, headErr := inner.Head(t.Context(), key)
			switch {
			case err == nil && headErr != nil:
				t.Errorf("%s: success, and nothing stored", key)
			case err != nil && (!errors.Is(err, objstore.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded)):
				t.Errorf("%s: %v", key, err)
			case err != nil && headErr == nil:
				stored++
			case err != nil:
				lost++
			}
		}
		if stored == 0 || lost == 0 {
			t.Errorf("of the unknown outcomes %d were stored and %d not: want some of both", stored, lost)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.GetRange(ctx, "k/0", 0, -1); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, objstore.ErrUnknownOutcome) {
			t.Errorf("get: %v", err)
		}
	})
}
