// Command simulate plays seeds of internal/sim against the code as it is, and then against each of its
// mutants, every one of which must be caught. It is what make sim runs.
//
//	go run ./internal/sim/simulate -seeds 300
//	go run ./internal/sim/simulate -seeds 1 -first 17 -all        one seed, with all that happened if it fails
//	go run ./internal/sim/simulate -mutant "drop a hole" -first 3 -seeds 1
//
// It builds itself once more, with an overlay that puts all mutants in, each switched off, and lets
// that program play: mutants are global to a process and are played one after another.
//
// It exits with 0 when no seed has met a violation and every mutant was caught, with 1 when not, and
// with 2 when it could not run.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/isthmusdata/isthmus/internal/sim"
)

// options is what the command line says.
type options struct {
	seeds    int
	first    uint64
	mutant   string // play this one alone
	mutants  bool
	trace    int
	all      bool
	workers  int
	play     bool // this is the program with the mutants in it
	progress bool
	coverage bool
	list     bool   // the mutants, as a table for docs
	digest   string // a file to write the digest of the seeds to, and nothing else
	same     string // the digest that the first seeds must have
}

func main() {
	var o options
	flag.IntVar(&o.seeds, "seeds", 300, "how many seeds to play")
	flag.Uint64Var(&o.first, "first", 0, "the first seed")
	flag.StringVar(&o.mutant, "mutant", "", "play the seeds with this mutant switched on, and nothing else")
	flag.BoolVar(&o.mutants, "mutants", true, "play the mutants after the seeds")
	flag.IntVar(&o.trace, "trace", 40, "lines that are shown of what led to a violation")
	flag.BoolVar(&o.all, "all", false, "show all that happened before a violation")
	flag.IntVar(&o.workers, "workers", 0, "seeds played at once; 0: one a processor")
	flag.BoolVar(&o.progress, "progress", true, "tell every so often how far it is")
	flag.BoolVar(&o.coverage, "coverage", true, "say what of the protocol the seeds reach")
	flag.BoolVar(&o.list, "list", false, "print the mutants as a table, and play nothing")
	flag.StringVar(&o.digest, "digest", "", "used by simulate itself: play the seeds and write their digest to this file")
	flag.StringVar(&o.same, "same", "", "used by simulate itself: the digest of the first seeds without mutants")
	flag.BoolVar(&o.play, "play", false, "used by simulate itself: play, for the mutants are built in")
	flag.Parse()

	ok, err := true, error(nil)
	switch {
	case o.list:
		fmt.Fprint(os.Stdout, sim.MutantTable())
	case o.play:
		ok, err = player{options: o, out: os.Stdout}.run()
	default:
		ok, err = build(o, os.Args[1:])
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
}
