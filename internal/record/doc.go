// Package record is a view of Kafka's record batches (magic 2) as bytes.
//
// It promises to look at a batch without copying it, to bound everything before it is
// allocated, never to panic on bytes from outside, and never to change a byte unless the
// function's name says so. What it tells of a batch is what the batch claims; only Verify says
// that the claim is consistent, and only VerifyRecords that its records are what it claims.
//
// The layout of a batch (all numbers big endian):
//
//	at  size  field
//	 0   8    base offset            not under the CRC; stamped on the way out
//	 8   4    length                 bytes after this field
//	12   4    partition leader epoch not under the CRC; stamped on the way out
//	16   1    magic                  2
//	17   4    CRC-32C                of everything from the attributes on
//	21   2    attributes             bits 0-2 codec, 3 LogAppendTime, 4 transactional, 5 control
//	23   4    last offset delta
//	27   8    first timestamp        Unix milliseconds
//	35   8    maximum timestamp      Unix milliseconds
//	43   8    producer id            -1: none
//	51   2    producer epoch
//	53   4    first sequence
//	57   4    number of records
//	61   …    records, compressed as one block by the codec
//
// Words: a frame is the bytes a client sent for one partition, one batch or several; to split
// is to find where the first batch ends; to stamp is to write what only the broker knows.
//
// The package has no metrics: it is called for every batch, and its callers count.
package record
