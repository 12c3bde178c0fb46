// Package faultstore makes a good store slow or unreliable, for tests and benchmarks.
//
// Latency gives it the times of a real service; Faults lets requests fail as they do there, and Throttle refuses those that are
// one too many. The first two are
// decided by a seed: with the same seed and the same sequence of calls the same things happen.
// Time and sleep can be injected, and inside a testing/synctest bubble the defaults are virtual already.
// There are no metrics here: package metered counts what came out.
//
// # Latency
//
// A request takes a lognormal time (median and sigma by profile), plus its bytes at the profile's throughput; one in a thousand
// takes four times as long. In any second, requests above 3,500 writes or 5,500 reads of keys in one folder are answered
// ErrThrottled, as S3 does per prefix.
//
//	profile      PUT ms/sigma   GET ms/sigma   MiB/s
//	s3-standard     60 / 0.55      22 / 0.60      95
//	slow           100 / 0.55      35 / 0.60      95
//	s3-express       8 / 0.35       4 / 0.40     300
//
// # Faults
//
// A list of kind[@op]:chance[:time[:time]], separated by commas, such as lost:0.01,503@get:0.005,slow:0.001:5s:800ms
//
//	lost    the request is carried out and its answer lost: ErrUnknownOutcome (a read: ErrUnavailable)
//	late    a put is answered ErrUnknownOutcome and carried out later, after time (2s)
//	error   nothing is carried out: ErrUnavailable
//	503     nothing is carried out: ErrThrottled
//	slow    a node turns slow for time (5s): requests for an eighth of the keys take another time (1s) longer
//	torn    a read breaks off: ErrUnavailable
//
// op is put, get, head, delete, list, or multipart; without one a kind holds for every op that it fits.
// Chance is between 0 and 1, per request.
//
// # Throttling
//
// WRITES[:READS[:AFTER:FOR]], such as 5:20:10s:30s: of all keys together so many requests are let through in any second of
// the clock, from AFTER the store was opened on for so long; the rest is ErrThrottled.
package faultstore
