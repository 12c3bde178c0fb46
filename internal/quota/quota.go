package quota

import (
	"math"
	"sync"
	"time"
)

// Limits are what a group, or one agent of it, may do.
type Limits struct {
	BytesIn     int64 // of Produce requests, a second
	BytesOut    int64 // of Fetch answers, a second
	Requests    int64 // of any kind, a second
	Connections int64 // at a time
}

// Share is what each of so many agents may do of a group's limits; a bound is never divided to nothing.
func (l Limits) Share(agents int) Limits {
	n := int64(max(agents, 1))
	part := func(v int64) int64 {
		if v <= 0 {
			return 0
		}
		return 1 + (v-1)/n
	}
	return Limits{BytesIn: part(l.BytesIn), BytesOut: part(l.BytesOut), Requests: part(l.Requests), Connections: part(l.Connections)}
}

const (
	// burst is how much may be spent at once after a pause, in what the rate gives in that time.
	burst = time.Second
	// MostWait bounds a debt: more is forgiven, or a request that is many times the rate would silence its client
	// for longer than connections live.
	MostWait = time.Minute
)

// Bucket is one rate. The zero value has no bound.
type Bucket struct {
	mu   sync.Mutex
	rate int64     // a second; 0: no bound
	paid time.Time // when what was spent is paid for; in the past it is credit, up to burst
}

// Set changes the rate. A debt stays as many units as it was.
func (b *Bucket) Set(now time.Time, rate int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	debt := b.paid.Sub(now)
	switch {
	case rate == b.rate:
	case rate <= 0 || b.rate == 0:
		b.paid = now
	case debt > 0:
		b.paid = now.Add(atMost(float64(debt)*float64(b.rate)/float64(rate), MostWait))
	}
	b.rate = max(rate, 0)
}

// Rate is the bound a second; 0 is none.
func (b *Bucket) Rate() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rate
}

// Take spends n and says how long who spent it has to wait.
func (b *Bucket) Take(now time.Time, n int64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		return 0
	}
	if least := now.Add(-burst); b.paid.Before(least) {
		b.paid = least
	}
	b.paid = b.paid.Add(atMost(float64(n)/float64(b.rate)*float64(time.Second), 2*MostWait))
	if most := now.Add(MostWait); b.paid.After(most) {
		b.paid = most
	}
	return max(0, b.paid.Sub(now))
}

// Left is how much may be spent now without waiting longer than a burst: 0 while there is a debt.
func (b *Bucket) Left(now time.Time) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.rate == 0:
		return math.MaxInt64
	case b.paid.After(now):
		return 0
	default:
		return max(b.rate*int64(burst/time.Second), 1)
	}
}

func atMost(d float64, most time.Duration) time.Duration {
	if d >= float64(most) {
		return most
	}
	return time.Duration(d)
}
