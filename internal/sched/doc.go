// Package sched is where code that waits meets time, chance and goroutines: through an interface, so
// that a simulation can put others in their place and one seed decides who runs when.
//
// Code that is handed a Sched promises to begin nothing with a go statement, to wait for nothing
// but by Wait, and to wait nowhere while it holds a lock. What is behind its other dependencies
// does the same, or is never slow.
package sched
