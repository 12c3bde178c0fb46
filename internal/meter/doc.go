// Package meter counts what an agent does for each share: requests to object storage by what they asked and what became of them,
// hedges, bytes, and requests and bytes of Kafka clients. It is what a cluster's cost is reckoned from.
//
// Counts only rise, from the start of the process. There are as many sums as shares that the agent was granted, each of a
// fixed size, and counting is an atomic addition. The control plane is told of sums, never of single requests; it keeps them as
// lists in the order of Count, to which new counts are added at the end.
//
// Metrics; group is the agent's, op is put, get, head, list, delete or multipart (each part, the start and the end of an
// upload), result is ok (there or not), throttled (503), canceled (the
// slower of two hedged) or failed, api is produce or fetch:
//
//	isthmus_meter_s3_requests_total{group,share,op,result}  requests to the share's bucket, hedges among them
//	isthmus_meter_s3_hedges_total{group,share,op}           of them, those that asked a second time (put, get)
//	isthmus_meter_s3_bytes_total{group,share,op}            bytes of objects stored (put) and read (get)
//	isthmus_meter_kafka_requests_total{group,share,api}     requests of clients, once for each share that they touch
//	isthmus_meter_kafka_bytes_total{group,share,api}        bytes of record batches received and sent
package meter
