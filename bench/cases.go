package main

import (
	"context"
	"slices"
	"strings"
)

// Case is one load.
type Case struct {
	Name    string
	About   string // one line for the table
	Systems []System
	Run     func(ctx context.Context, e *Env, s System) (Sample, error)
}

// cases are all there are, in the order in which they run.
func cases() []Case {
	var all []Case
	for _, family := range [][]Case{produceCases(), s3Cases(), fetchCases(), idleCases(), latencyCases(), callsCases(), sequencerCases(), apartCases(), growCases(), throttleCases()} {
		all = append(all, family...)
	}
	return all
}

// once reports whether one round of a case is enough: it compares within itself, or with its neighbours, and takes long.
func once(name string) bool {
	return slices.ContainsFunc([]string{"calls-", "idle", "memory", "sequencer", "apart", "grow-", "throttle"}, func(family string) bool { return strings.HasPrefix(name, family) })
}
