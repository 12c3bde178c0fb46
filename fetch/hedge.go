package fetch

import (
	"slices"
	"time"
)

const (
	hedgeWindow  = 64 // latest GETs of a size that are looked at
	hedgeLeast   = 16 // GETs of a size before any of them is hedged
	hedgeSizes   = 5
	hedgeReserve = 10 // hedges that may be saved up
)

// hedger decides when a GET is asked a second time: once it takes longer than nine of ten did,
// and only while hedges are a small share of all GETs, so that a slow store is not made slower.
//
// It is pure; callers hold one lock around it.
type hedger struct {
	budget int // percent
	floor  time.Duration
	credit int // in percent of a hedge
	took   [hedgeSizes]recentTimes
}

type recentTimes struct {
	times [hedgeWindow]time.Duration
	n     int
}

// sizeClass puts GETs that take about as long together.
func sizeClass(size int64) int {
	class := 0
	for limit := int64(256 << 10); class < hedgeSizes-1 && size > limit; limit *= 4 {
		class++
	}
	return class
}

// begin counts a GET and says after which time it may be asked again; false: never.
func (h *hedger) begin(size int64) (time.Duration, bool) {
	h.credit = min(h.credit+h.budget, 100*hedgeReserve)
	t := &h.took[sizeClass(size)]
	if t.n < hedgeLeast {
		return 0, false
	}
	times := slices.Clone(t.times[:min(t.n, hedgeWindow)])
	slices.Sort(times)
	return max(times[len(times)*9/10], h.floor), true
}

// spend takes a hedge from the budget, if there is one.
func (h *hedger) spend() bool {
	if h.credit < 100 {
		return false
	}
	h.credit -= 100
	return true
}

// end records how long a GET took that succeeded.
func (h *hedger) end(size int64, d time.Duration) {
	t := &h.took[sizeClass(size)]
	t.times[t.n%hedgeWindow] = d
	t.n++
	if t.n >= 2*hedgeWindow {
		t.n -= hedgeWindow
	}
}
