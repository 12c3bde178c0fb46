// Package desk joins the consumer groups of one leader (coordinator.Machine) with its log: what must last is
// queued for the log, and what waits for that is answered when it is applied.
//
// It is pure, as the machine is: requests, results and the time come in as arguments, answers leave through
// the callers' functions. The tunnel runs it behind a lock, the simulation from a seed. It promises:
//
//   - Jobs reach the log in the order in which they were queued. A commit of offsets that was accepted before a
//     rebalance is therefore in place before the next generation can read it.
//   - Whether a member may commit is asked in the moment in which its offsets are queued.
//   - Every parked request is answered once, or forgotten by its caller, or told of the end.
//
// # Words
//
//	job    commands that are proposed together, and who hears of them
//	batch  jobs that make one entry of the log
package desk
