package sim

import (
	"flag"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

var seeds = flag.Int("seeds", 40, "how many seeds TestSeeds plays")
var first = flag.Uint64("first", 0, "the first seed that TestSeeds plays")

// TestSeeds plays seeds of the hostile world. A failure names its seed: go run ./internal/sim/simulate
// -mutants=false -seeds 1 -first SEED replays it.
func TestSeeds(t *testing.T) {
	var steps, placed, violations atomic.Int64
	var mu sync.Mutex
	seen := map[string]int{}
	var next atomic.Uint64
	next.Store(*first)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := next.Add(1) - 1; seed < *first+uint64(*seeds); seed = next.Add(1) - 1 {
				o := Run(seed, Defaults())
				steps.Add(int64(o.Steps))
				placed.Add(int64(o.Placed))
				mu.Lock()
				for what, n := range o.Seen {
					seen[what] += n
				}
				mu.Unlock()
				if o.Violation != "" {
					violations.Add(1)
					t.Errorf("seed %d: %s", seed, o.Story(60))
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d steps, %d batches placed", steps.Load(), placed.Load())
	t.Logf("met: %v", seen)
	t.Logf("sim: %d seeds, %d violations", *seeds, violations.Load())
	for _, what := range Unmet(seen, *seeds) {
		t.Errorf("no run has met: %s", what)
	}
}

// TestOneSeedReplaysOneRun: the same seed gives the same state, step for step.
func TestOneSeedReplaysOneRun(t *testing.T) {
	for seed := range uint64(3) {
		a, b := Run(seed, Defaults()), Run(seed, Defaults())
		if a.Digest != b.Digest || a.Steps != b.Steps || !slices.Equal(a.Lines(), b.Lines()) {
			t.Errorf("seed %d: %d steps to %s, then %d steps to %s", seed, a.Steps, a.Digest, b.Steps, b.Digest)
		}
	}
}
