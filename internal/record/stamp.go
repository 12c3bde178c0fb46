package record

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// Stamp copies the header of b into dst with its base offset and leader epoch. Neither is under
// the CRC, so that the rest of b can follow dst on the wire as it is stored.
func Stamp(dst *[HeaderSize]byte, b Batch, base topic.Offset, epoch int32) {
	copy(dst[:], b[:HeaderSize])
	binary.BigEndian.PutUint64(dst[:], uint64(base))
	binary.BigEndian.PutUint32(dst[atEpoch:], uint32(epoch))
}

// StampAppendTime writes the broker's time into b, in place: attribute bit 3, the maximum
// timestamp and a new CRC. The caller owns the bytes, and has verified them before: the new CRC
// would hide a fault.
func StampAppendTime(b Batch, ms int64) {
	binary.BigEndian.PutUint16(b[atAttributes:], uint16(b.Attributes()|appendTimeBit))
	binary.BigEndian.PutUint64(b[atMaxTimestamp:], uint64(ms))
	SetCRC(b)
}

// SetCRC writes the CRC-32C of the bytes as they are, in place.
func SetCRC(b Batch) {
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli))
}
