// Package raft keeps a control.State in a replicated log: what control decides, this package
// persists.
//
// It promises:
//
//	I3  durable   a proposal is answered once a quorum's disks hold its entry and it is applied
//	I4  pure      everything an answer depends on is in the entry; a restart replays it
//	I9  confirmed View reads no state that another leader could have moved on since it was called
//	I12 one       a node leads only a bucket prefix whose cluster object names its cluster and life, and
//	              only from the copy of its data directory that led last
//
// # Words
//
//	entry        commands that were logged and applied together, at most 512 KiB
//	state time   Unix milliseconds, stamped on commands by the leader; it never goes back and moves at
//	             most as fast as the leader's monotonic clock
//	term barrier the first command of a term (Elect); nothing is proposed or read before it is applied
//	claim        the object <cluster>/meta/cluster that says whose the bucket prefix is
//	turn         a numbered object <cluster>/meta/<incarnation>/turns/<n>; whoever puts the next one leads
//
// # The data directory
//
//	lock         held by flock while a process uses the directory
//	node.json    which cluster, which life, which node: written before anything else
//	log.db       raft's log, term and vote, and what is known of turns (bbolt)
//	snapshots/   the last two snapshots (raft's own layout, CRC-64)
//
// # When the disk fails
//
// The first error of the log or of the vote ends the node: after it nobody can say what the disk
// holds, so the node answers nothing more, closes Done and gives the error from Err. The process exits;
// a restart reads what is really there.
//
// # Metrics
//
//	isthmus_control_proposals_total{result}      proposals answered: ok, refused, unknown
//	isthmus_control_entries_total                entries proposed
//	isthmus_control_entry_bytes                  histogram of their sizes
//	isthmus_control_entry_commands               histogram of the commands in one
//	isthmus_control_propose_seconds              histogram, from the queue to the answer
//	isthmus_control_apply_seconds                histogram, applying one entry
//	isthmus_control_log_seconds                  histogram, storing a group of entries (fsync included)
//	isthmus_control_queue_bytes                  proposals waiting for an entry
//	isthmus_control_snapshots_total{result}      snapshots taken: ok, failed
//	isthmus_control_snapshot_seconds             histogram, taking one
//	isthmus_control_unsnapshotted_bytes          log since the last snapshot
//	isthmus_control_confirmed_reads_total        reads that asked for a leadership check
//	isthmus_control_leadership_checks_total      checks made for them
//	isthmus_control_leader                       1 while this node leads
//	isthmus_control_applied_index                index of the last applied entry
package raft
