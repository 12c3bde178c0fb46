// Package control decides the order of records.
//
// An agent stores a segment first and asks for its place second, so a segment without a place is
// litter to be swept and a place without a segment cannot exist. The package keeps these
// promises, and its tests are named after them:
//
//	I1 dense    a placement begins at the offset where the last one of its partition ended
//	I2 once     a segment is placed once; asking again repeats the answer until it is acknowledged
//	I4 pure     State.Apply reads no clock, no network and no random source, so replaying the
//	            log rebuilds the same State, byte for byte
//	I5 no duplicates, no gaps
//	            a repeated batch of an idempotent producer gets its first offset; one that leaves
//	            a gap is refused, and refused for good only when the gap has stood
//	I6 walls    what a caller may do is asked of Allow, on every call
//	I10 bounded everything a client can make grow has a limit in Limits
//	I11 final   a batch answered with an error is never placed later
//
// Words:
//
//	state time   the greatest time a command carried; it never goes back
//	clock        the time by which things expire: state time, or the moment at which it froze
//	row          one line of a segment's manifest, answered as one: placed, duplicate or refused
//	entry        one index entry: consecutive records of a partition in one segment, contiguous
//	             in it, at most 4 MiB unless a single batch is larger
//	lane         the sequences of one session in one share
//	gap          a batch whose predecessor has not arrived
//	dead object  a stored object that nothing refers to, waiting for the jobs role to delete it
//	dying        a partition of a deleted topic whose entries are still being freed
//
// Offsets count records, sizes count bytes, and times are Unix milliseconds stamped by the leader
// before the command enters the log. Codes are Kafka's error codes.
//
// A State belongs to one goroutine, or to one lock: reads may run beside each other, Apply and
// Snapshot alone. What Snapshot returns may be written out while Apply goes on. Values that reads
// and results return are shared with the state and must not be changed.
//
// The package has no metrics of its own; Stats is what its server exports.
package control
