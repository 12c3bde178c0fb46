package faultstore

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// Times is how long a kind of request takes.
type Times struct {
	Median time.Duration
	Sigma  float64 // of the lognormal distribution
}

// Profile is how fast a service is.
type Profile struct {
	Name       string
	Put, Get   Times
	Throughput float64 // bytes per second of one request
	TailChance float64 // of a request that takes TailFactor times as long
	TailFactor float64
	PutRate    int // writes per second in one folder before ErrThrottled
	GetRate    int
}

// Profiles are the services that can be imitated.
func Profiles() []Profile {
	profile := func(name string, put, get Times, mib float64) Profile {
		return Profile{Name: name, Put: put, Get: get, Throughput: mib * (1 << 20),
			TailChance: 0.001, TailFactor: 4, PutRate: 3500, GetRate: 5500}
	}
	const ms = time.Millisecond
	return []Profile{
		profile("s3-standard", Times{60 * ms, 0.55}, Times{22 * ms, 0.60}, 95),
		profile("s3-express", Times{8 * ms, 0.35}, Times{4 * ms, 0.40}, 300),
		profile("slow", Times{100 * ms, 0.55}, Times{35 * ms, 0.60}, 95),
	}
}

// FindProfile returns a profile by its name.
func FindProfile(name string) (Profile, bool) {
	for _, p := range Profiles() {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}

// latency is the hook that takes time.
type latency struct {
	profile Profile
	options Options

	mu     sync.Mutex
	rng    *rand.Rand
	second int64          // the second that counts holds, Unix
	counts map[string]int // requests of this second, by folder and kind
}

// NewLatency gives a store the times of a profile.
func NewLatency(inner objstore.Store, p Profile, o Options) *Store {
	o = o.withDefaults()
	return &Store{inner: inner, hook: &latency{profile: p, options: o, rng: o.rng(1), counts: map[string]int{}}}
}

// throttleTime is how long a refusal takes.
const throttleTime = 10 * time.Millisecond

func (l *latency) around(ctx context.Context, c call, do func(context.Context) (int64, error)) error {
	if err := objstore.Ended(ctx, c.op, c.key); err != nil {
		return err
	}
	takes, throttled := l.draw(c)
	if throttled {
		if l.options.Sleep(ctx, throttleTime) != nil {
			return objstore.Lost(ctx, c.op, c.key, c.write)
		}
		return &objstore.Error{Op: c.op, Name: c.key, Class: objstore.ErrThrottled,
			Cause: fmt.Errorf("the rate limit of profile %s", l.profile.Name), Try: "spread the keys, or send less"}
	}
	// The bytes travel and half the time passes before anything happens, the rest before the
	// answer is there: a caller that leaves in between cannot know which it was.
	before := takes/2 + l.transfer(c.size)
	if l.options.Sleep(ctx, before) != nil {
		return objstore.Lost(ctx, c.op, c.key, c.write)
	}
	n, err := do(ctx)
	if ended := l.options.Sleep(ctx, takes-takes/2+l.transfer(n)); ended != nil && err == nil {
		return objstore.Lost(ctx, c.op, c.key, c.write)
	}
	return err
}

func (l *latency) transfer(n int64) time.Duration {
	return time.Duration(float64(n) / l.profile.Throughput * float64(time.Second))
}

// draw decides a call: in the order of calls, and always with the same number of draws.
func (l *latency) draw(c call) (takes time.Duration, throttled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	times, rate, kind := l.profile.Get, l.profile.GetRate, "r "
	if c.write {
		times, rate, kind = l.profile.Put, l.profile.PutRate, "w "
	}
	d := float64(times.Median) * math.Exp(times.Sigma*l.rng.NormFloat64())
	if l.rng.Float64() < l.profile.TailChance {
		d *= l.profile.TailFactor
	}
	if now := l.options.Now().Unix(); now != l.second {
		l.second = now
		clear(l.counts)
	}
	folder := kind + path.Dir(c.key)
	l.counts[folder]++
	return time.Duration(d), rate > 0 && l.counts[folder] > rate
}

func (l *latency) close() {}
