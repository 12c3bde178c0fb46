// Package tunnel answers Kafka's coordinator and admin requests inside the
// control plane. An agent hands over the bytes of a request's body as its client
// encoded them; the leader decodes, decides, writes what must last to the log,
// and encodes the answer in the version asked.
//
// It promises:
//
//   - Bytes from outside are bounded and decoded before anything else. What
//     cannot be decoded is an error (ErrMalformed), never a panic.
//   - What a caller may do is asked of State.Allow, for every part of every call.
//   - An answer that tells of something stored leaves after a quorum's log holds
//     it; one that tells what is not there follows a confirmed leader read.
//   - Per group, commits of offsets and assignments are applied in the order in
//     which they were accepted. A commit that was accepted before a rebalance is
//     therefore in place before the next generation can read it.
//   - A request that waits for a group (JoinGroup, SyncGroup) is dropped when its
//     caller goes away.
//
// Errors of Call: ErrUnsupported and ErrMalformed are the caller's fault. ErrAway
// says that this node does not serve groups (now, or any more); nothing was done,
// or what was done may safely be asked again. Errors of the Backend pass through,
// wrapped. Everything else is a Kafka error code inside the answer.
//
// Each request has its own file; its head states versions, behaviour and what is
// left out. FindCoordinator, Metadata and the like are answered by the agent.
//
// Metrics (Register):
//
//	isthmus_control_tunnel_requests_total{api,result}  requests answered; result is ok, malformed, away or failed
//	isthmus_control_tunnel_seconds{api}                time to answer, JoinGroup and SyncGroup left out
//	isthmus_control_tunnel_denied_total                questions that the walls answered with no
//	isthmus_control_groups                             classic groups held, empty ones included
//	isthmus_control_group_members                      their members
//	isthmus_control_group_parked_requests              JoinGroup and SyncGroup requests that wait
//	isthmus_control_group_queue_bytes                  commits and assignments waiting for the log
package tunnel
