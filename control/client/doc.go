// Package client is how agents and tools speak to the control plane: in the words of packages topic
// and segment, without protobuf.
//
// It promises:
//
//   - A call that may be repeated is repeated, with jittered pauses and through every address, until it is
//     answered, until ctx ends, or until Config.Patience is over. A restart or a failover of the control
//     plane is then only a slow answer.
//
//   - A call that may not be repeated (Call of a request that creates or deletes) is repeated only after a
//     refusal, that is, when it certainly was not carried out.
//
//   - An answer comes from the leader. "Not there", "beyond the end" and "session ended" are final.
//
//   - Streams are not repeated: an error of CommitStream or WatchStream means open another one. Nothing is
//     lost by that: a commit sent again gets the same answer, and the first event after an Add carries the ends.
//
//   - A login is renewed long before it ends, beside the calls. While that fails, for the platform or the control
//     plane is away, the last one goes on for as long as it is taken; one that is not taken any more is replaced once a
//     call.
//
// CommitStream, WatchStream, TunnelCall and Session have the shape of what produce, fetch and broker ask
// for; cmd introduces them, for the roles know no control plane.
//
// # Words
//
//	grant        what a login gives: the session, the group's gossip key, seeds and shares
//	walls        shares, groups, grants and bindings; operators' tools change them, agents hear that they changed
//	membership   the loop that keeps one session alive, and gets the next one when it has ended
//
// # Metrics
//
//	isthmus_control_client_calls_total{method,code}   calls answered or given up, by gRPC code
//	isthmus_control_client_retries_total{method}      attempts after the first
//	isthmus_control_client_logins_total{method,result}   proofs of identity: ok, failed
//	isthmus_control_client_seconds{method}            histogram, with all attempts
package client
