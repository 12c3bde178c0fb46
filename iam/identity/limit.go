package identity

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// Rate is so many a second, and so many at once after a pause.
type Rate struct {
	PerSecond float64
	Burst     int
}

// CallLimits bound how often STS is asked. A zero Rate is the default: behind a PrivateLink endpoint
// many agents have one address, and a task has a key of its own.
type CallLimits struct {
	Source  Rate // of one address, or one /64 of IPv6; 20 a second, 200 at once
	Key     Rate // of one access key; 2 a second, 20 at once
	Overall Rate // 100 a second, 200 at once
}

func (l CallLimits) orDefault() CallLimits {
	pick := func(r *Rate, d Rate) {
		if *r == (Rate{}) {
			*r = d
		}
	}
	pick(&l.Source, Rate{20, 200})
	pick(&l.Key, Rate{2, 20})
	pick(&l.Overall, Rate{100, 200})
	return l
}

const rememberedCallers = 16 << 10

// callLimiter remembers the most recent sources and keys. Who comes from so many that others are forgotten is
// held by the overall rate.
type callLimiter struct {
	limits CallLimits

	mu      sync.Mutex
	overall *rate.Limiter
	sources *simplelru.LRU[string, *rate.Limiter]
	keys    *simplelru.LRU[string, *rate.Limiter]
}

func newCallLimiter(l CallLimits) *callLimiter {
	l = l.orDefault()
	c := &callLimiter{limits: l, overall: rate.NewLimiter(rate.Limit(l.Overall.PerSecond), l.Overall.Burst)}
	c.sources = newLimiters()
	c.keys = newLimiters()
	return c
}

func newLimiters() *simplelru.LRU[string, *rate.Limiter] {
	l, err := simplelru.NewLRU[string, *rate.Limiter](rememberedCallers, nil)
	if err != nil {
		panic(err) // only of a size that is not positive
	}
	return l
}

// allow asks the narrowest first: who is over a bound of its own takes nothing of what others share. Without a key none is counted.
func (c *callLimiter) allow(now time.Time, address, key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !limiterOf(c.sources, sourceOf(address), c.limits.Source).AllowN(now, 1):
		return tooMany("from one address")
	case key != "" && !limiterOf(c.keys, key, c.limits.Key).AllowN(now, 1):
		return tooMany("with one access key")
	case !c.overall.AllowN(now, 1):
		return tooMany("of everybody")
	}
	return nil
}

func tooMany(whose string) error {
	return failf(ErrLimited, "log in again in a few seconds", "too many logins %s", whose)
}

func limiterOf(all *simplelru.LRU[string, *rate.Limiter], name string, r Rate) *rate.Limiter {
	if l, ok := all.Get(name); ok {
		return l
	}
	l := rate.NewLimiter(rate.Limit(r.PerSecond), r.Burst)
	all.Add(name, l)
	return l
}

// sourceOf is what an address is counted by.
func sourceOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "" // all that have none are one
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
