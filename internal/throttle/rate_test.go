package throttle

import (
	"math/rand/v2"
	"testing"
	"time"
)

// store lets so many requests through in each second of the clock, and tells a little later.
type store struct {
	allowed func(second int64) int
	second  int64
	used    int
}

func (s *store) ask(now time.Duration) bool {
	if second := int64(now / time.Second); second != s.second {
		s.second, s.used = second, 0
	}
	s.used++
	return s.used <= s.allowed(s.second)
}

// tally is what a second saw.
type tally struct{ sent, passed int }

// play lets agents send as much as their rates allow, and no more than demand a second each, for so many seconds.
func play(agents int, demand float64, seconds int, allowed func(second int64) int) []tally {
	type reply struct {
		at time.Duration
		ok bool
	}
	rng := rand.New(rand.NewPCG(1, 2))
	s := &store{allowed: allowed, second: -1}
	rates := make([]Rate, agents)
	owed := make([]float64, agents)
	replies := make([][]reply, agents)
	seen := make([]tally, seconds)
	const step = time.Millisecond
	for now := time.Duration(0); now < time.Duration(seconds)*time.Second; now += step {
		for _, i := range rng.Perm(agents) {
			r := &rates[i]
			for len(replies[i]) > 0 && replies[i][0].at <= now {
				if replies[i][0].ok {
					r.Passed(now)
				} else {
					r.Refused(now)
				}
				replies[i] = replies[i][1:]
			}
			// What could not be sent gathers into the next request, as records do into a segment.
			owed[i] = min(owed[i]+demand*step.Seconds(), 1.9)
			if owed[i] < 1 || r.At() > now {
				continue
			}
			owed[i]--
			r.Begin(now)
			ok := s.ask(now)
			replies[i] = append(replies[i], reply{now + 40*time.Millisecond, ok})
			at := &seen[now/time.Second]
			at.sent++
			if ok {
				at.passed++
			}
		}
	}
	return seen
}

func sum(seen []tally) (t tally) {
	for _, s := range seen {
		t.sent += s.sent
		t.passed += s.passed
	}
	return t
}

// TestRateUsesWhatIsAllowed: nearly all of what a store allows is used, hardly more is sent, and it takes seconds to
// come down and to come back; for one agent and for many that know nothing of each other.
func TestRateUsesWhatIsAllowed(t *testing.T) {
	for _, c := range []struct {
		name    string
		agents  int
		demand  float64
		limit   int
		waste   float64 // sent for each that is let through, at most
		utility float64 // of what is allowed, at least
	}{
		{"one agent, few requests", 1, 40, 8, 1.12, 0.85},
		{"one agent, many", 1, 400, 100, 1.05, 0.90},
		{"twenty agents", 20, 20, 100, 1.20, 0.80},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := play(c.agents, c.demand, 90, func(second int64) int {
				if second >= 20 && second < 60 {
					return c.limit
				}
				return 1 << 30
			})
			all := c.demand * float64(c.agents)
			if free := sum(seen[5:20]); float64(free.passed) < 0.95*all*15 || free.passed != free.sent {
				t.Errorf("before: %+v of %v", free, all*15)
			}
			short := sum(seen[23:60])
			if waste := float64(short.sent) / float64(short.passed); waste > c.waste {
				t.Errorf("%.2f requests sent for each that was let through, at most %.2f", waste, c.waste)
			}
			if use := float64(short.passed) / float64(c.limit*37); use < c.utility {
				t.Errorf("%.2f of what is allowed was used, at least %.2f", use, c.utility)
			}
			if down := sum(seen[20:23]); float64(down.sent-down.passed) > all {
				t.Errorf("%d refused on the way down, more than a second's demand of %v", down.sent-down.passed, all)
			}
			if again := sum(seen[72:]); float64(again.passed) < 0.95*all*18 {
				t.Errorf("afterwards: %+v of %v", again, all*18)
			}
		})
	}
}

// TestRateStopsAlmost: a store that refuses all is asked once a second.
func TestRateStopsAlmost(t *testing.T) {
	seen := play(1, 100, 60, func(int64) int { return 0 })
	if all := sum(seen[5:]); all.sent < 40 || all.sent > 60 {
		t.Errorf("%d requests in 55 seconds", all.sent)
	}
}

// TestRateIsFree: without a refusal nothing is held back, and ten seconds after one nothing any more.
func TestRateIsFree(t *testing.T) {
	var r Rate
	for i := range 1000 {
		at := time.Duration(i) * time.Millisecond
		r.Begin(at)
		r.Passed(at)
	}
	if r.Limited() || r.At() != 0 || r.PerSecond(0) != 0 {
		t.Errorf("held back: %+v", r)
	}
	r.Refused(time.Second - 1)
	if !r.Limited() || r.At() <= time.Second {
		t.Errorf("not held back: %+v", r)
	}
	if was, want := r.PerSecond(time.Second-1), 850.0; was < want-1 || was > want+1 {
		t.Errorf("%.1f a second after a refusal, want %.1f", was, want)
	}
	r.Begin(time.Second + free)
	if r.Limited() || r.At() != 0 {
		t.Errorf("still held back: %+v", r)
	}
}

// TestRateForgetsOneBurst: many refusals of what was under way together count as one.
func TestRateForgetsOneBurst(t *testing.T) {
	var one, many Rate
	for i := range 100 {
		at := time.Duration(i) * 10 * time.Millisecond
		one.Passed(at)
		many.Passed(at)
	}
	one.Refused(time.Second)
	for range 50 {
		many.Refused(time.Second)
	}
	if a, b := one.PerSecond(time.Second), many.PerSecond(time.Second); a != b {
		t.Errorf("%.1f a second after one refusal, %.1f after fifty", a, b)
	}
}
