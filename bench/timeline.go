package main

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/isthmusdata/isthmus/internal/bench"
)

// timeline notes second by second how many records were acknowledged and read, and how long they took.
type timeline struct {
	start time.Time
	size  int // bytes of a record's value

	mu      sync.Mutex
	seconds []*second
}

// second is what came in one second.
type second struct {
	acked, read        int
	produced, consumed *hdrhistogram.Histogram // microseconds
}

func newTimeline(size int) *timeline { return &timeline{start: time.Now(), size: size} }

// at is the second that is now. The lock is held.
func (t *timeline) at() *second {
	n := int(time.Since(t.start) / time.Second)
	for len(t.seconds) <= n {
		t.seconds = append(t.seconds, &second{produced: histogram(), consumed: histogram()})
	}
	return t.seconds[n]
}

func histogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(10*time.Minute/time.Microsecond), 2)
}

func note(h *hdrhistogram.Histogram, since time.Time) {
	// A latency beyond the histogram's ten minutes counts as ten minutes.
	_ = h.RecordValue(min(max(time.Since(since).Microseconds(), 1), h.HighestTrackableValue()))
}

// Sent implements bench.Watcher.
func (t *timeline) Sent(bench.Stamp) {}

// Refused implements bench.Watcher.
func (t *timeline) Refused(bench.Stamp, error) {}

// Acked implements bench.Watcher.
func (t *timeline) Acked(s bench.Stamp) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.at()
	at.acked++
	note(at.produced, s.Due)
}

// Consumed implements bench.Watcher.
func (t *timeline) Consumed(s bench.Stamp) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.at()
	at.read++
	note(at.consumed, s.Due)
}

// Flow is how a topic fared in one second.
type Flow struct {
	InMB        float64 `json:"in_mb"`
	OutMB       float64 `json:"out_mb"`
	ProduceP50  float64 `json:"produce_p50_ms"`
	ProduceP99  float64 `json:"produce_p99_ms"`
	EndToEndP50 float64 `json:"e2e_p50_ms"`
	EndToEndP99 float64 `json:"e2e_p99_ms"`
}

// flows are the whole seconds of the first n.
func (t *timeline) flows(n int) []Flow {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Flow, n)
	for i, s := range t.seconds[:min(n, len(t.seconds))] {
		p, c := bench.Percentiles(s.produced), bench.Percentiles(s.consumed)
		all[i] = Flow{
			InMB: float64(s.acked*t.size) / 1e6, OutMB: float64(s.read*t.size) / 1e6,
			ProduceP50: p.P50, ProduceP99: p.P99, EndToEndP50: c.P50, EndToEndP99: c.P99,
		}
	}
	return all
}
