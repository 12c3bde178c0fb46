// Package sim runs isthmus's own decisions (the sequencer's State, the producing agents' Writer, the watch
// hub) and, as coroutines, whole fetching agents in
// virtual time under one seed: clients with the retry rules of real libraries, a network that
// loses and repeats, a bucket whose uploads fail, come late or stay unknown, agents and control
// nodes that crash, leaders that are deposed without knowing it, clocks that jump, an agent that lies;
// and checks the invariants after every step. docs/architecture/simulation.md tells how it is made and
// how it grows:
//
//	I1  a placement begins where the last one of its partition ended
//	I2  a copy of a batch is placed once, and only of an object that is stored; a decided commit is
//	    answered as the first time until that is acknowledged
//	I3  what is acknowledged is stored in the bucket and in the log
//	I4  replaying the log, or a part of it onto a snapshot, rebuilds the state byte for byte; state
//	    time never goes back, nor on faster than time, and nothing expires while it is not trusted
//	I5  an idempotent producer's batches are placed once, in order, without a gap
//	I6  who has not the role, or no session any more, places nothing
//	I7  an agent reads an object no longer after it was told of it than a location's life and a read
//	    last; where deletion waits for that, it finds none missing
//	I8  what a sweep by the rules deletes is never placed, and in the end there is nothing that it
//	    could not delete
//	I9  every answer to a fetch is a contiguous run of what was placed, byte for byte but for offset and
//	    epoch; ends only move up and are known by a confirmed read; what is said not to be there is
//	    not there; and in peace every consumer comes to the end of what it reads, woken by a watch
//	I11 a copy answered with an error is never placed later
//
// Consumer groups (coordinator and desk) are played as well, with members that crash, freeze, leave and claim
// each other's instance; what is held of them stands above groupChecks.
//
// One seed replays one run exactly: every choice comes from its random source, and every event
// from one queue. A violation prints the seed and the events that led to it.
//
// What waits in package fetch waits by internal/sched, which is a crew here: its tasks run one at a time,
// until they wait, and which goes on next is the seed's choice.
//
// Nothing here is a model of isthmus; the clients, the network, the bucket and the log are models of
// the world around it. It grows by adding to that world: an actor is a struct with methods that
// schedule events.
//
// A check that never fails proves nothing. Mutants are one-line faults of the code under test, kept as
// data (mutants_*.go) and put in by a compiler overlay; the program simulate plays each of them and
// fails when one survives.
package sim
