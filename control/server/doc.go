// Package server is the acting half of the control plane: it answers agents and tools over gRPC by
// proposing commands to the log and by reading the state.
//
// It promises:
//
//   - Nothing is answered that the log does not hold (I3), and nothing is said not to be there
//     without a leadership check made after the question came (I9).
//   - Who calls is known for every call, and what it may do is asked of State.Allow, for each part of it and each message of
//     a stream, and again whenever the walls change (I6). A session is its agent's alone.
//   - A watch loses no placement: a stream that cannot keep up is told so, with the ends as they are.
//   - Sessions live on the leader's monotonic clock, less the time in which it did not run, and get a
//     fresh lease after every election; only a command ends one.
//   - Connections, streams, messages, queues and answers are bounded (I10).
//
// # Words
//
//	node     one process of the control plane: its log, its listener, its loops
//	hub      hands what is applied to the watches that asked for it (package hub)
//	lease    until when a session lives without another heartbeat
//
// # Errors on the wire
//
// Unavailable and ResourceExhausted say that another attempt may help, Aborted that the outcome is not
// known, FailedPrecondition that the session has ended, PermissionDenied what Allow refused, Unauthenticated
// that a token is missing, dead, or of a binding that is gone or changed: to log in again may help. InvalidArgument what can never succeed. The trailer isthmus-refused says that nothing was done.
//
// # Metrics (beside those of package raft)
//
//	isthmus_control_calls_total{method,code}       calls and streams that ended, by gRPC code
//	isthmus_control_call_seconds{method}           histogram, calls alone
//	isthmus_control_commits_total{outcome}         commits answered
//	isthmus_control_logins_total{method,result}    proofs of identity: ok, refused (not proven), unbound (in no binding)
//	isthmus_control_placements_total               locations placed
//	isthmus_control_placed_bytes_total             their bytes
//	isthmus_control_watch_streams                  open watches
//	isthmus_control_watch_resets_total             watches that could not keep up
//	isthmus_control_sessions_expired_total         leases that ran out
//	isthmus_control_topics                         topics
//	isthmus_control_partitions                     partitions
//	isthmus_control_index_entries                  index entries
//	isthmus_control_segments                       objects that are referred to
//	isthmus_control_live_bytes                     bytes that are referred to
//	isthmus_control_producers                      producer ids times partitions
//	isthmus_control_sessions                       live sessions
//	isthmus_control_clock_frozen                   1 while nothing expires, for the clock is not trusted
package server
