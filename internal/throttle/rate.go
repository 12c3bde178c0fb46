package throttle

import "time"

const (
	cut   = 0.85            // of what was let through, after a refusal
	back  = 2 * time.Second // from there to what was let through before
	free  = 5 * back        // without a refusal, and nothing is held back any more
	least = 1.0             // requests a second, at a store that refuses all
)

// Rate says when the next request to a store may begin.
type Rate struct {
	limited bool
	peak    float64       // requests a second that were let through when one was refused last
	since   time.Duration // when that was
	next    time.Duration // no request begins before
	passed  window
}

// Limited reports whether requests are held back.
func (r *Rate) Limited() bool { return r.limited }

// At is when the next request may begin: now, when it is not after now.
func (r *Rate) At() time.Duration { return r.next }

// Begin counts a request that begins now, whether or not it was to.
func (r *Rate) Begin(now time.Duration) {
	if !r.limited {
		return
	}
	if now >= r.since+free {
		r.limited, r.next = false, 0
		return
	}
	r.next = max(r.next, now) + time.Duration(float64(time.Second)/r.PerSecond(now))
}

// PerSecond is how many requests a second may begin now; 0 is as many as come.
func (r *Rate) PerSecond(now time.Duration) float64 {
	if !r.limited {
		return 0
	}
	x := float64(now-r.since-back) / float64(back)
	return r.peak * (1 + (1-cut)*x*x*x)
}

// Passed takes in that a request was let through, whatever became of it.
func (r *Rate) Passed(now time.Duration) { r.passed.add(now) }

// Refused takes in that the store refused a request. However many are refused of those that were under way, what
// follows is the same: they are measured by what the store let through, not by what was sent.
func (r *Rate) Refused(now time.Duration) {
	r.limited, r.since = true, now
	r.peak = max(float64(r.passed.sum(now)), least)
	r.next = max(r.next, now+time.Duration(float64(time.Second)/r.PerSecond(now)))
}

const (
	slots = 10
	slot  = time.Second / slots
)

// window counts what happened in the last second.
type window struct {
	counts [slots]int
	newest int64 // the slot that was counted in last, since time began
}

func (w *window) add(now time.Duration) {
	w.move(now)
	w.counts[w.newest%slots]++
}

func (w *window) sum(now time.Duration) (n int) {
	w.move(now)
	for _, c := range w.counts {
		n += c
	}
	return n
}

// move forgets what is older than a second.
func (w *window) move(now time.Duration) {
	at := int64(now / slot)
	for i := max(w.newest+1, at-slots+1); i <= at; i++ {
		w.counts[i%slots] = 0
	}
	w.newest = max(w.newest, at)
}
