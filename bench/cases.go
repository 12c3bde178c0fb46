package main

import "context"

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
	for _, family := range [][]Case{produceCases(), fetchCases()} {
		all = append(all, family...)
	}
	return all
}
