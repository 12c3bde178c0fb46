// Package scale plays a cluster that no test machine holds, in virtual time: a thousand agents, a hundred thousand partitions,
// 10 GiB/s. It answers what bends first, and by how much.
//
// Real are the parts that decide: each agent's produce.Writer, the manifests, the control plane's State with every command in
// order, its hub of watches, the messages of watches, snapshots and their restoration, and the keys of objects. Modelled is
// what is not code: the network, the time of a PUT (lognormal, as latency=s3-standard), the leader's log and the processor time
// it has, both as a queue. One seed gives one run: all that a Report has but Measured, which is this machine's own
// time for the real parts.
//
// Bytes are played at 1/ByteScale of their number: batches have real headers and little in them, and segments are
// closed at as much less. So a manifest's lengths take a byte less each than they would.
package scale
