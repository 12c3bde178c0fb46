package record

import (
	"encoding/binary"
	"math"
)

// HeaderSize is the length of a batch's header in bytes.
const HeaderSize = 61

// Magic is the only batch format that is served.
const Magic = 2

// Covered is where the bytes under a batch's CRC begin: at the attributes, to the batch's end.
const Covered = 21

const (
	atLength         = 8
	atEpoch          = 12
	atMagic          = 16
	atCRC            = 17
	atAttributes     = Covered
	atLastDelta      = 23
	atFirstTimestamp = 27
	atMaxTimestamp   = 35
	atProducerID     = 43
	atProducerEpoch  = 51
	atFirstSequence  = 53
	atNumRecords     = 57

	lengthEnd = 12 // the length field counts the bytes after itself
)

const (
	codecMask        = 0x07
	appendTimeBit    = 1 << 3
	transactionalBit = 1 << 4
	controlBit       = 1 << 5
)

// The codecs of a batch, as its attributes number them.
const (
	CodecNone int8 = iota
	CodecGzip
	CodecSnappy
	CodecLZ4
	CodecZstd
)

// CodecName names a codec as Kafka's configuration does.
func CodecName(codec int8) string {
	switch codec {
	case CodecNone:
		return "none"
	case CodecGzip:
		return "gzip"
	case CodecSnappy:
		return "snappy"
	case CodecLZ4:
		return "lz4"
	case CodecZstd:
		return "zstd"
	default:
		return "unknown"
	}
}

// Batch is one whole batch, or at least its first HeaderSize bytes; Split makes one from bytes
// that are not known to be a batch. Its methods only read the header.
type Batch []byte

// BaseOffset is the offset of the first record, as stored: a client writes 0 or anything.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b)) }

// Length is the size of the whole batch in bytes, as its header claims. It is computed without
// overflow and may be anything above 11 for a batch that Split has not seen.
func (b Batch) Length() int {
	return int(binary.BigEndian.Uint32(b[atLength:])) + lengthEnd
}

// Epoch is the partition leader epoch, as stored.
func (b Batch) Epoch() int32 { return int32(binary.BigEndian.Uint32(b[atEpoch:])) }

// Magic is the format of the batch.
func (b Batch) Magic() int8 { return int8(b[atMagic]) }

// CRC is the stored CRC-32C of everything from the attributes on.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[atCRC:]) }

// Attributes are the batch's flag bits.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[atAttributes:])) }

// Codec is the compression of the records.
func (b Batch) Codec() int8 { return int8(b.Attributes() & codecMask) }

// LastOffsetDelta is the offset of the last record minus BaseOffset.
func (b Batch) LastOffsetDelta() int32 { return int32(binary.BigEndian.Uint32(b[atLastDelta:])) }

// FirstTimestamp is the timestamp of the first record, to which the others are deltas.
func (b Batch) FirstTimestamp() int64 {
	return int64(binary.BigEndian.Uint64(b[atFirstTimestamp:]))
}

// MaxTimestamp is the highest timestamp of the records, or, with LogAppendTime, that of all.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[atMaxTimestamp:])) }

// ProducerID is the idempotent producer's id, or -1.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[atProducerID:])) }

// ProducerEpoch is the epoch of the producer id.
func (b Batch) ProducerEpoch() int16 {
	return int16(binary.BigEndian.Uint16(b[atProducerEpoch:]))
}

// FirstSequence is the sequence number of the first record.
func (b Batch) FirstSequence() int32 {
	return int32(binary.BigEndian.Uint32(b[atFirstSequence:]))
}

// LastSequence is the sequence number of the last record; sequences wrap from 2^31-1 to 0.
// It is -1 for a batch without sequences.
func (b Batch) LastSequence() int32 {
	first := b.FirstSequence()
	if first < 0 {
		return -1
	}
	return int32((int64(first) + int64(b.LastOffsetDelta())) & math.MaxInt32)
}

// NumRecords is the number of records the batch claims to hold.
func (b Batch) NumRecords() int32 { return int32(binary.BigEndian.Uint32(b[atNumRecords:])) }

// LogAppendTime reports whether MaxTimestamp stands for the timestamps of all records.
func (b Batch) LogAppendTime() bool { return b.Attributes()&appendTimeBit != 0 }

// IsTransactional reports whether the batch belongs to a transaction.
func (b Batch) IsTransactional() bool { return b.Attributes()&transactionalBit != 0 }

// IsControl reports whether the records are markers, which only a broker may write.
func (b Batch) IsControl() bool { return b.Attributes()&controlBit != 0 }
