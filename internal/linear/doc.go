// Package linear holds the control plane to what its callers are promised, from outside: real
// clients (control/client) speak gRPC through a network that fails to a real node (control/server over
// control/raft) that is killed and started again meanwhile, and what they saw is given to porcupine, which
// looks for one order of all operations that explains every answer.
//
// It promises, as tests alone:
//
//	the log of a partition   commits, latest offsets and plans behave as one list that is only appended to
//	committed offsets        commits and fetches of a group's members behave as one register a partition
//	the check can fail       histories that are wrong, and arrangements that are (a deposed leader that
//	                         answers, two copies of one data directory, an answer before its time), are found
//
// # Words
//
//	operation  a call and what came of it, with the times between which it took effect
//	open       an operation whose outcome its caller never learned: it may take effect at any time, or never
//	refused    a commit of offsets answered with an error: it may have taken effect before a lost answer,
//	           but never after the error
//
// The faults follow from a seed; the network is the real loopback, so that a seed gives the same faults, not
// the same run. A failure prints the history of the partition that has no explanation.
package linear
