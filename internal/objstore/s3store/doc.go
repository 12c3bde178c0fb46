// Package s3store is a bucket of Amazon S3, or of any server that speaks its protocol and honours
// If-None-Match on PUT.
//
// It promises what every store does (package objstore), and these:
//
//	counted    a put, and the completion of an upload in parts, is one HTTP request that can be carried out; the
//	           SDK's retries are on for reads, lists, deletes and parts only
//	renewed    an answer that the credentials are of no use makes Config.Credentials, if it is a Renewer, get others, and
//	           the request is sent once more: nothing was carried out. So it is when the clock was wrong
//	ungathered a body is sent from the slices it came in; over TLS its bytes are not hashed for the signature
//	           (UNSIGNED-PAYLOAD) and the CRC-32C that came along travels in x-amz-checksum-crc32c
//	certain    a put is ErrUnavailable only when no header of it had been written, or the server said so;
//	           a connection reset, a timeout or a 500 after that is ErrUnknownOutcome
//	whole      a short body is never returned as success
//	bounded    every request ends within Config.Timeout, and connections are counted
//
// Answers: 412 is ErrExists, 409 ErrUnavailable (a race was lost or won by nobody: try again), 404 ErrNotFound or
// ErrNoBucket, 401 and 403 ErrDenied, 429 and 503 ErrThrottled, 416 and every other 4xx ErrInvalid. A HEAD
// carries no code, so a missing bucket looks to Head like a missing object.
//
// Complete sends If-None-Match too, but Ceph RGW (Pacific) and some others ignore it there. Complete therefore
// looks before (a HEAD): on such servers two uploads that complete within the same moment can both succeed, the later
// one replacing the earlier. Keys of isthmus are minted once, so both would have come from one writer.
//
// The clock of this store is the Date of an answer, to the second. There are no metrics here: see package metered.
package s3store
