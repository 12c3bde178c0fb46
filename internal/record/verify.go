package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// What is wrong with bytes that should be a batch. Every error of this package wraps one of
// these; the text around it says what was found.
var (
	// ErrTruncated: the bytes end before the batch does.
	ErrTruncated = errors.New("truncated batch")
	// ErrMagic: the batch has a format other than 2.
	ErrMagic = errors.New("unsupported batch magic")
	// ErrCorrupt: the length, the checksum or the records contradict each other.
	ErrCorrupt = errors.New("corrupt batch")
	// ErrCount: the number of records and the last offset delta contradict each other.
	ErrCount = errors.New("wrong record count")
	// ErrCodec: the attributes name a compression that does not exist.
	ErrCodec = errors.New("unknown compression codec")
	// ErrTooLarge: the records inflate to more than the caller allows.
	ErrTooLarge = errors.New("records inflate beyond the limit")
)

// castagnoli is never written after it is made; crc32 finds the hardware's way by it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Split cuts the first batch from b. It allocates nothing, and looks no further than the
// header: Verify does. An old message format is ErrMagic even where it is shorter than a
// header; an empty b is ErrTruncated.
func Split(b []byte) (first Batch, rest []byte, err error) {
	if len(b) <= atMagic {
		return nil, nil, fmt.Errorf("%w: %d bytes", ErrTruncated, len(b))
	}
	if m := Batch(b).Magic(); m != Magic {
		return nil, nil, fmt.Errorf("%w: %d", ErrMagic, m)
	}
	length := int64(int32(binary.BigEndian.Uint32(b[atLength:]))) + lengthEnd
	if length < HeaderSize {
		return nil, nil, fmt.Errorf("%w: length %d below the header's", ErrCorrupt, length)
	}
	if length > int64(len(b)) {
		return nil, nil, fmt.Errorf("%w: %d of %d bytes", ErrTruncated, len(b), length)
	}
	return Batch(b[:length:length]), b[length:], nil
}

// Verify checks that b is one whole batch as a producer may send it: length, magic, codec,
// CRC-32C, and as many records as offsets, at least one. Whether the records are what the
// header says is VerifyRecords' question, for it costs decompression.
func Verify(b Batch) error {
	first, rest, err := Split(b)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes after the batch", ErrCorrupt, len(rest))
	}
	if err := CheckCRC(first); err != nil {
		return err
	}
	if c := b.Codec(); c > CodecZstd {
		return fmt.Errorf("%w: %d", ErrCodec, c)
	}
	n, last := b.NumRecords(), b.LastOffsetDelta()
	if n < 1 || int64(n) != int64(last)+1 {
		return fmt.Errorf("%w: %d records, last offset delta %d", ErrCount, n, last)
	}
	return nil
}

// CheckCRC compares the stored CRC with the bytes of a batch that Split returned.
func CheckCRC(b Batch) error {
	if got := crc32.Checksum(b[atAttributes:], castagnoli); got != b.CRC() {
		return fmt.Errorf("%w: CRC-32C %08x, header says %08x", ErrCorrupt, got, b.CRC())
	}
	return nil
}
