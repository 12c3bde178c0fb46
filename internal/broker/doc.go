// Package broker is what every agent answers to Kafka's clients, whatever its role: all requests
// but Produce and Fetch.
//
// It promises:
//
//	scoped     Metadata, DescribeCluster and FindCoordinator name the members of the own group
//	           and nobody else; leadership is a hint
//	confirmed  "unknown topic" is said only after a confirmed read at the control plane; a topic is
//	           visible at every agent as soon as its creation was answered at one
//	stable     while the control plane is away every request still gets an answer of its own
//	           schema, in time: what is known, or a code that makes clients try again
//
// Words: a tunnelled request is carried to the control plane as Kafka encodes it, and its answer
// back; away is what is answered when that fails; a parked request (JoinGroup, SyncGroup) waits
// for other clients, for minutes, and is sent again when the control plane fails over meanwhile.
//
// Each request has a file that begins with the versions, the behaviour and what is left out, and
// that declares the range of versions which ApiVersions advertises.
//
// Metrics:
//
//	isthmus_broker_calls_total{api,result}  tunnelled requests: answered, away, refused, undecodable
//	isthmus_broker_call_seconds{api}        time in the tunnel, parked ones included
//	isthmus_broker_topics                   topics in the cache
package broker
