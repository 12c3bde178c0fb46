// Package produce takes record batches from Kafka clients, stores them, and answers when the
// control plane has given them their place.
//
// It promises:
//
//	durable    a batch is acknowledged after its object is stored and its place is decided (I3)
//	once       an idempotent batch that is sent again gets its first offset (I5); a commit that is
//	           sent again is the same commit (I2)
//	final      a batch answered with an error is never placed later; once its commit is sent, only
//	           the control plane's answer decides (I11)
//	in order   batches of a connection reach their segment in the order in which they were read, and
//	           segments of a share are committed in the order in which they were sealed
//	bounded    memory, uploads, hedges and retries are capped (I10); past the cap sockets are not
//	           read and clients slow down
//	no reader  the package puts new objects and can do nothing else with a bucket
//
// Words: a batch is what a client sent for one partition; a segment is the batches of one share
// that are stored as one object; it is open until it is sealed, when it gets its sequence; an
// attempt is one nonce under which a sealed segment is uploaded, a hedge is a second one; a
// segment is sent when its commit is; it is abandoned when it is certain that its commit never
// will be; a lane is a producer id, its epoch and a partition: what must stay in order.
//
// The way of a request: Handler (validate, one goroutine per connection) → Runner (one goroutine)
// → Writer (pure: every decision, no clock, no goroutine) → effects, which Runner carries out:
// uploads, commits, answers. docs/architecture/produce-path.md tells why it is so.
//
// Metrics (sizes in bytes, times in seconds):
//
//	isthmus_produce_requests_total{acks}                    Produce requests by acks: all, one, none
//	isthmus_produce_batches_total{code}                     batches answered, by Kafka error code
//	isthmus_produce_batch_bytes_total                       batches accepted
//	isthmus_produce_pending_bytes                           batches accepted and not yet let go
//	isthmus_produce_blocked_seconds                         time requests waited for memory
//	isthmus_produce_segments_total{result}                  stored, abandoned
//	isthmus_produce_segment_bytes                           size of sealed segments
//	isthmus_produce_put_seconds                             one upload attempt, whatever its result
//	isthmus_produce_puts_total{result}                      stored, exists, retry, denied, invalid, unknown
//	isthmus_produce_hedges_total{result}                    started, won, refused (over the budget)
//	isthmus_produce_alarms_total                            an object under a key that was ours alone
//	isthmus_produce_commit_seconds                          from the first sending of a commit to its answer
//	isthmus_produce_commits_total{outcome}                  answered, gone, ended, out_of_order, unauthorized
//	isthmus_produce_sessions_total                          sessions used
package produce
