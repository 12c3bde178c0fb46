// Package mutant is the switch of the simulation's mutants: one-line faults that only a build of
// internal/sim/simulate holds, put in by a compiler overlay. Nothing in the repository imports it
// but that program; the code that it is compiled into does not know of it.
package mutant

// on is the one fault that is switched on; empty: none.
var on string

// Is reports whether a fault is switched on.
func Is(name string) bool { return on == name }

// Set switches a fault on, and every other one off. Nothing may run beside it.
func Set(name string) { on = name }
