package sim

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

var seeds = flag.Int("seeds", 60, "how many seeds TestSeeds plays")
var first = flag.Uint64("first", 0, "the first seed that TestSeeds plays")

// TestSeeds plays seeds of the hostile world. A failure names its seed: go test
// ./internal/sim -run TestSeeds -seeds 1 -first SEED replays it.
func TestSeeds(t *testing.T) {
	var steps, placed, violations atomic.Int64
	var next atomic.Uint64
	next.Store(*first)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := next.Add(1) - 1; seed < *first+uint64(*seeds); seed = next.Add(1) - 1 {
				o := Run(seed, Defaults())
				steps.Add(int64(o.Steps))
				placed.Add(int64(o.Placed))
				if o.Violation != "" {
					violations.Add(1)
					t.Errorf("seed %d: %s", seed, lastLines(o, 80))
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d steps, %d batches placed", steps.Load(), placed.Load())
	t.Logf("sim: %d seeds, %d violations", *seeds, violations.Load())
	if placed.Load() == 0 {
		t.Error("nothing was placed")
	}
}

func lastLines(o Outcome, n int) string {
	o.Trace = o.Trace[max(0, len(o.Trace)-n):]
	return o.String()
}

// TestOneSeedReplaysOneRun: the same seed gives the same state, step for step.
func TestOneSeedReplaysOneRun(t *testing.T) {
	for seed := range uint64(3) {
		a, b := Run(seed, Defaults()), Run(seed, Defaults())
		if a.Digest != b.Digest || a.Steps != b.Steps || fmt.Sprint(a.Trace) != fmt.Sprint(b.Trace) {
			t.Errorf("seed %d: %d steps to %s, then %d steps to %s", seed, a.Steps, a.Digest, b.Steps, b.Digest)
		}
	}
}
