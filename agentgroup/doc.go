// Package agentgroup knows which agents of the own group live, and which of them should do
// what: who leads a partition in a zone, and who holds a chunk for its zone.
//
// It promises:
//
//   - Members of another group are never seen, dialled or believed: each group gossips under
//     its own label with its own key, and what does not decrypt is dropped.
//   - A member that dies is gone within 2 s, 99 times in 100, in groups of up to 10 (in larger
//     ones it takes longer with the logarithm of the size); one that leaves is gone at once. Whoever
//     is about to tell clients of members may Check first, which finds a killed process at once.
//   - A member that goes takes with it only what it had; one that comes takes over only what is its
//     own, and only after it has lived for the settling time.
//   - A member that is cut off from the control plane leads nothing while at most half of those with
//     its role are.
//   - Agents that have heard the same gossip name the same leaders and owners.
//   - Gossip is trusted for liveness, never for order: a wrong member list costs a detour or a
//     second GET, never a record. Any member with the role may serve anything.
//
// Words: a member is a living agent of the group; its meta is what it gossips about itself; a
// seed is a gossip address to join through, named by the control plane; a settled member has
// lived for the settling time; a stranger is whoever sends what is not meant for this group.
//
// In reading order: member.go and meta.go say what a member is, ring.go decides (pure: member sets and
// time come in as arguments), group.go and listener.go stand at the network, with memberlist's
// failure detector behind them; check.go looks whether a process still listens.
//
// Metrics:
//
//	isthmus_agentgroup_members          members of the group that live, this agent included
//	isthmus_agentgroup_cut_off_members  members that say they are cut off from the control plane or a bucket
//	isthmus_agentgroup_changes_total    change="join|leave|update": what gossip told
//	isthmus_agentgroup_refused_total    members refused because their meta could not be read
//	isthmus_agentgroup_joins_total      result="ok|failed": attempts to join through a seed
//	isthmus_agentgroup_health           0: this agent keeps up with gossip; higher: it lags
package agentgroup
