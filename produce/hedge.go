package produce

import (
	"slices"
	"time"
)

// pace remembers how long recent uploads took, by class of size, to tell which one is slow.
type pace struct {
	classes [5]recent
}

// minSamples is how many uploads of a class must be known before one is called slow.
const minSamples = 16

// recent is the last uploads of one class.
type recent struct {
	took [128]time.Duration
	n    int // uploads seen
	p90  time.Duration
}

func sizeClass(bytes int) int {
	switch {
	case bytes <= 64<<10:
		return 0
	case bytes <= 512<<10:
		return 1
	case bytes <= 2<<20:
		return 2
	case bytes <= 8<<20:
		return 3
	default:
		return 4
	}
}

// observe notes that an upload took so long, or at least so long when a hedge ended it: such a
// one was above p90 anyway, and leaving it out would pull p90 down until everything is hedged.
func (p *pace) observe(bytes int, took time.Duration) {
	r := &p.classes[sizeClass(bytes)]
	r.took[r.n%len(r.took)] = took
	r.n++
	if r.n == minSamples || r.n%8 == 0 {
		known := r.took
		s := known[:min(r.n, len(known))]
		slices.Sort(s)
		r.p90 = s[len(s)*9/10]
	}
}

// slow is the time after which an upload of that size counts as slow; ok is false while too
// little is known.
func (p *pace) slow(bytes int) (d time.Duration, ok bool) {
	r := &p.classes[sizeClass(bytes)]
	return r.p90, r.n >= minSamples
}

// budget lets one hedge through for so many uploads.
type budget struct {
	share  float64
	tokens float64
}

// maxTokens bounds the burst of hedges after a good time, when one node of the store turns slow.
const maxTokens = 10

func (b *budget) earn() { b.tokens = min(b.tokens+b.share, maxTokens) }

func (b *budget) spend() bool {
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
