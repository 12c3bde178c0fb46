// Package bench loads any Kafka-compatible cluster and says what came of it: throughput,
// latency percentiles, the CPU and memory the servers took, and whether anything that was
// acknowledged was lost, duplicated or reordered.
//
// Sizes count bytes of record values as the application sees them, before compression; rates
// count records or bytes a second over the measured time, warm-up excluded. Latency is
// counted from the moment a record was due, so that a client which falls behind its rate
// shows it (no coordinated omission); at unlimited rate it is the client's own queue.
package bench
