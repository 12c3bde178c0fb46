package sim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
)

// Series is seeds to play, from First on.
type Series struct {
	First   uint64
	Seeds   int
	Workers int // 0: as many as there are processors
	// FirstOnly: the first seed with a violation ends the series; else all are played.
	FirstOnly bool
	// Early is after how many seeds a digest is taken.
	Early int
	// Progress, if set, hears after every seed how many are done.
	Progress func(done int)
}

// Played is what a series came to. It is the same for the same seeds, however many workers there were.
type Played struct {
	Seeds, Steps, Placed int
	Seen                 map[string]int // how often what runs are to meet was met
	Failed               []Failure      // in the order of their seeds; at most maxFailures with their outcome
	Violations           int
	Digest               string // of the states at the ends of all runs
	Early                string // of the first Early of them
}

// Failure is a seed with a violation.
type Failure struct {
	Seed    uint64
	Outcome Outcome
}

// maxFailures bounds what a long series keeps of the runs that failed.
const maxFailures = 20

// Play plays a series on several processors.
func Play(s Series) Played {
	if s.Workers == 0 {
		s.Workers = runtime.GOMAXPROCS(0)
	}
	t := &tally{series: s, next: s.First, p: Played{Seen: map[string]int{}}, stopAt: s.First + uint64(s.Seeds), digests: map[uint64]string{}, sum: [sha256.Size]byte{}, summed: s.First}
	var workers sync.WaitGroup
	for range s.Workers {
		workers.Go(t.work)
	}
	workers.Wait()
	slices.SortFunc(t.p.Failed, func(a, b Failure) int { return cmp.Compare(a.Seed, b.Seed) })
	t.p.Digest = hex.EncodeToString(t.sum[:8])
	return t.p
}

// tally gathers outcomes.
type tally struct {
	series Series

	mu      sync.Mutex
	next    uint64
	stopAt  uint64
	p       Played
	digests map[uint64]string // of runs that ended before an earlier one
	sum     [sha256.Size]byte
	summed  uint64 // seeds below it are in sum
}

func (t *tally) work() {
	for {
		t.mu.Lock()
		seed := t.next
		t.next++
		over := seed >= t.stopAt
		t.mu.Unlock()
		if over {
			return
		}
		t.add(seed, runGuarded(seed))
	}
}

// runGuarded makes a violation of a panic: of a mutant, or of what hostile weather brings about.
func runGuarded(seed uint64) (o Outcome) {
	defer func() {
		if r := recover(); r != nil {
			o = Outcome{Violation: fmt.Sprintf("panic: %v\n%s", r, debug.Stack())}
		}
	}()
	return Run(seed, Defaults())
}

func (t *tally) add(seed uint64, o Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.p.Seeds++
	t.p.Steps += o.Steps
	t.p.Placed += o.Placed
	for what, n := range o.Seen {
		t.p.Seen[what] += n
	}
	if o.Violation != "" {
		t.p.Violations++
		if len(t.p.Failed) < maxFailures {
			t.p.Failed = append(t.p.Failed, Failure{seed, o})
		}
		if t.series.FirstOnly {
			t.stopAt = min(t.stopAt, seed)
		}
	}
	t.digests[seed] = o.Digest
	for ; t.digests[t.summed] != ""; t.summed++ {
		t.sum = sha256.Sum256(append(t.sum[:], t.digests[t.summed]...))
		delete(t.digests, t.summed)
		if t.summed+1 == t.series.First+uint64(t.series.Early) {
			t.p.Early = hex.EncodeToString(t.sum[:8])
		}
	}
	if t.series.Progress != nil {
		t.series.Progress(t.p.Seeds)
	}
}
