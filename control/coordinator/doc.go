// Package coordinator runs Kafka's classic consumer groups: who is a member,
// who leads, which generation it is, and what each member was assigned.
//
// It is a pure machine. Requests and the time come in as arguments; answers and
// what must be stored come out of Take. It has no goroutine, clock, random
// source or map order inside, so one seed replays it. It promises:
//
//   - A request that is parked (JoinGroup, SyncGroup) is answered once, or is
//     forgotten by its caller (Forget). Nothing else is ever answered late.
//   - A generation only rises, and has one leader. After an election the next one
//     skips those that a former leader may have told of without storing them.
//   - An assignment leaves only after it is stored (Persisted), so that the
//     next leader of the control plane finds the group as its members know it.
//   - No two members carry the same instance id.
//   - Groups, members and their bytes are bounded by Config.
//
// The words are Kafka's. A group is Empty, then PreparingRebalance while
// members join, CompletingRebalance until the leader has assigned, and Stable.
// A pending member was given an id and has not joined with it yet (KIP-394).
// Times are milliseconds on the leader's monotonic clock, less the time in which it did not run:
// session timers start afresh when a group is restored, so that an election by
// itself throws nobody out and causes no rebalance.
//
// Where it differs from Kafka's GroupCoordinator on purpose: a second JoinGroup
// or SyncGroup of a member answers the first one REBALANCE_IN_PROGRESS instead
// of dropping it; a caller that goes away takes its parked request along; ties
// in the vote for a protocol go to the member that joined first.
package coordinator
