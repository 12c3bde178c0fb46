package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/isthmusdata/isthmus/internal/sim"
	"github.com/isthmusdata/isthmus/internal/sim/mutant"
)

// player plays in the program that has the mutants built in.
type player struct {
	options
	out io.Writer
}

// run plays what was asked for and ends with the line that says what came of it.
func (p player) run() (ok bool, err error) {
	// A seed's world is tens of megabytes that live for its run: collecting it less often is a fifth of the time.
	debug.SetGCPercent(400)
	switch {
	case p.mutant != "":
		return p.one()
	case p.digest != "":
		played := sim.Play(sim.Series{First: p.first, Seeds: p.seeds, Workers: p.workers, Early: p.seeds})
		return true, os.WriteFile(p.digest, []byte(played.Early), 0o644)
	}
	p.say("playing seeds %d to %d", p.first, p.first+uint64(p.seeds)-1)
	played := sim.Play(p.series(p.first, p.seeds))
	p.report(played)
	unmet := sim.Unmet(played.Seen, p.seeds)
	for _, what := range unmet {
		p.say("no seed has met: %s", what)
	}
	if p.same != "" && played.Early != p.same {
		return false, errNoSame
	}
	caught, all := 0, 0
	if p.mutants {
		caught, all = p.table()
	}
	p.say("sim: %d seeds, %d violations; mutants: %d of %d caught", p.seeds, played.Violations, caught, all)
	return played.Violations == 0 && caught == all && len(unmet) == 0, nil
}

func (p player) say(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

func (p player) series(first uint64, seeds int) sim.Series {
	s := sim.Series{First: first, Seeds: seeds, Workers: p.workers, Early: min(seeds, coverSeeds)}
	if p.progress {
		s.Progress = progress(seeds)
	}
	return s
}

// progress tells every half minute how many seeds are done.
func progress(seeds int) func(int) {
	began := time.Now()
	last := began
	var mu sync.Mutex
	return func(done int) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(last) >= 30*time.Second {
			last = now
			fmt.Fprintf(os.Stderr, "%d of %d seeds, %.0f a second\n", done, seeds, float64(done)/now.Sub(began).Seconds())
		}
	}
}

// report tells what seeds came to.
func (p player) report(played sim.Played) {
	for _, f := range played.Failed {
		p.say("seed %d: %s\nreplay: go run ./internal/sim/simulate%s -mutants=false -seeds 1 -first %d    (-all shows everything)\n", f.Seed, p.tale(f.Outcome), p.named(), f.Seed)
	}
	var met []string
	for _, what := range slices.Sorted(maps.Keys(played.Seen)) {
		met = append(met, fmt.Sprintf("%s %d", what, played.Seen[what]))
	}
	p.say("%d steps, %d batches placed, digest %s\nmet: %s", played.Steps, played.Placed, played.Digest, strings.Join(met, ", "))
}

// named is the argument that switches the same mutant on.
func (p player) named() string {
	if p.mutant == "" {
		return ""
	}
	return fmt.Sprintf(" -mutant %q", p.mutant)
}

// tale is what led to a violation, or, if that is asked for, all that happened.
func (p player) tale(o sim.Outcome) string {
	if !p.all {
		return o.Story(p.trace)
	}
	return o.Violation + "\n" + strings.Join(o.Lines(), "\n")
}

// table plays every mutant until it is caught, and says by which seed and check.
func (p player) table() (caught, all int) {
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "mutant\tcaught after\tby\n")
	for _, m := range sim.Mutants() {
		all++
		played := p.broken(m, sim.Series{Seeds: m.Seeds, Workers: p.workers, FirstOnly: true})
		if len(played.Failed) == 0 {
			fmt.Fprintf(table, "%s\tSURVIVES %d\t%s\n", m.Name, m.Seeds, m.Breaks)
			continue
		}
		caught++
		f := played.Failed[0]
		fmt.Fprintf(table, "%s\t%d of %d\t%s\n", m.Name, f.Seed+1, m.Seeds, short(f.Outcome.Violation))
	}
	_ = table.Flush() // to a terminal that may have gone
	return caught, all
}

// short is the beginning of a violation: the invariant and what broke it.
func short(violation string) string {
	const most = 110
	violation, _, _ = strings.Cut(violation, "\n")
	if len(violation) <= most {
		return violation
	}
	return violation[:most] + "…"
}

// broken plays seeds with a mutant switched on.
func (p player) broken(m sim.Mutant, s sim.Series) sim.Played {
	mutant.Set(m.Name)
	defer mutant.Set("")
	return sim.Play(s)
}

// one plays a single mutant and tells all that it does.
func (p player) one() (ok bool, err error) {
	m, err := sim.FindMutant(p.mutant)
	if err != nil {
		return false, err
	}
	s := p.series(p.first, p.seeds)
	s.FirstOnly = true
	played := p.broken(m, s)
	p.report(played)
	unmet := sim.Unmet(played.Seen, p.seeds)
	for _, what := range unmet {
		p.say("no seed has met: %s", what)
	}
	p.say("sim: mutant %q: %d violations in %d seeds", m.Name, played.Violations, played.Seeds)
	return played.Violations == 0, nil
}
