// Package fetch answers Kafka's Fetch from the bucket.
//
// It keeps these promises:
//
//	I7 readable  an object that is gone is no error: the planner asks again where the records
//	             lie; a location is used for LocationLife, far less than deletion waits
//	I9 prefix    a consumer sees contiguous records of a log that only grows. That something is
//	             not there (out of range, unknown) is said only after a confirmed leader read
//	             that began after the request arrived; the high watermark may be late, is never
//	             lower than told before, and is not told before the first confirmed read
//	I10 bounded  chunks, locations, partitions, sessions, reads, hedges, waits and the requests that
//	             wait are bounded by Config; what does not fit makes clients wait or ask again
//	once         each byte crosses from the bucket once per group and zone, however many
//	             consumers read it: a chunk is read by its owner, by one GET, into its cache
//	apart        readers of history have memory, GETs and a cache of their own, and cannot slow
//	             the tail
//	honest       records are never null, batches never cut, errors that clients would retry at
//	             once are held back for min(max_wait, 500 ms)
//	no writer    the package can put nothing: it asks stores for ranges and for nothing else
//
// The way of a request, a file each: handler (the session, in order) → fetch (look until there is
// enough), with resolve (names) → plan, with tracks, watch and wait (where records lie, or a question
// to the control plane) → read (what of it is answered), with reader, cache, chunk and flight (cached,
// joined, asked of the owner or the bucket, by way of gate when it throttles; verified once) → respond (batches chosen whole, headers
// stamped into a copy, the rest written from the cache) → reply. Beside it: follow (the stream of
// news), peer (the chunks of this agent for others), list_offsets (a timestamp inside a location),
// refuse (agents without the role).
//
// Words: a location is where consecutive records of a partition lie in an object; a chunk is what
// is read of an object at once, the whole of it while it is small; a piece is a range of an
// object that is held or being read; the owner of a chunk is the agent of the group and zone that
// caches it; tail and cold are the two classes of reads, by whether the location came with the
// watch; a question is a plan query on its way.
//
// Decisions are pure state machines: planner, sessions, cache, hedger. Goroutines stand at the
// edge: one a request, one a chunk being read, one a question, two for the watch. They begin and
// wait by package sched, so that a simulation runs them too; peer and peer_pool, which hold
// sockets, do not.
//
// Metrics:
//
//	isthmus_fetch_requests_total                requests answered
//	isthmus_fetch_record_bytes_total            record batches answered
//	isthmus_fetch_waits_total                   requests that waited for records
//	isthmus_fetch_errors_total{code}            partitions answered with an error
//	isthmus_fetch_plans_total{result}           questions to the control plane: ok, failed
//	isthmus_fetch_watch_restarts_total          watch streams begun again
//	isthmus_fetch_watched_partitions            watched now
//	isthmus_fetch_locations                     held now
//	isthmus_fetch_sessions                      incremental sessions now
//	isthmus_fetch_cache_bytes{class}            chunks held now, those being read included
//	isthmus_fetch_cache_hits_total{class}       locations held or being read already
//	isthmus_fetch_cache_misses_total{class}     ranges that had to be read
//	isthmus_fetch_gets_total{class}             GETs, hedges and retries included
//	isthmus_fetch_get_bytes_total{class}        bytes read from the bucket
//	isthmus_fetch_get_seconds                   time of a successful GET
//	isthmus_fetch_get_retries_total             GETs repeated after an error
//	isthmus_fetch_get_hedges_total              GETs asked twice for being late
//	isthmus_fetch_get_throttled_total           GETs that the bucket refused for being one too many (503)
//	isthmus_fetch_throttle_waits_total          GETs that waited for a bucket that throttles
//	isthmus_fetch_corrupt_total                 locations whose bytes failed their checks: look at the log
//	isthmus_fetch_gone_total                    locations whose object was gone
//	isthmus_fetch_memory_waits_total            requests that waited for chunk memory
//	isthmus_fetch_peer_reads_total{result}      chunks asked of their owner: ok, failed (then read here)
//	isthmus_fetch_peer_read_bytes_total         bytes read from other agents
//	isthmus_fetch_peer_seconds                  time of a successful read from another agent
//	isthmus_fetch_peer_served_total{result}     reads of other agents: ok, failed, unsent, malformed
//	isthmus_fetch_peer_sent_bytes_total         bytes sent to other agents
package fetch
