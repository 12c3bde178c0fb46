package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// A segment, from its first byte to its last; all numbers are big endian, as in the batches:
//
//	header    at  size
//	           0   8    magic "isthmseg"
//	           8   1    version: 1
//	           9   1    kind: 0, batches as clients sent them, without offsets
//	          10   2    length of the header, the CRC included
//	          12   4    incarnation
//	          16   8    session
//	          24   8    sequence
//	          32   1+C  cluster: length, name
//	        33+C   1+S  share: length, name
//	      34+C+S   4    CRC-32C of all header bytes before
//
//	extents   record batches back to back, one extent a partition, partitions ascending
//
//	footer     0   4    number of extents
//	           4  48n   an extent each:
//	                     0  16  topic id
//	                    16   4  partition
//	                    20   4  position from the start of the object
//	                    24   4  length in bytes
//	                    28   8  records
//	                    36   8  maximum timestamp, Unix milliseconds
//	                    44   4  CRC-32C of the extent
//	       4+48n   4    CRC-32C of all footer bytes before
//
//	trailer    0   4    position of the footer
//	           4   4    length of the footer
//	           8   8    magic "isthmend"
//	          16   1    version: 1
//	          17   3    zero
//	          20   4    CRC-32C of all trailer bytes before
//
// The header has no nonce, so that the hedges of a sequence are the same bytes under two keys,
// and no group: that stands in the key, where IAM can see it.
const (
	headMagic = "isthmseg"
	tailMagic = "isthmend"
	version   = 1

	// KindLevel0 is a segment of batches as clients sent them: no offsets, no leader epochs.
	KindLevel0 = 0

	headerFixed = 32 // before the names
	headerMin   = headerFixed + 2 + 2 + 4
	headerMax   = headerFixed + 2*(1+MaxName) + 4
	extentSize  = 48
	footerMin   = 4 + 4
	trailerSize = 24

	// MaxExtents bounds the footer: a partition has at least one row.
	MaxExtents = MaxRows

	// MaxSize is the largest segment, in bytes: positions are 32 bits.
	MaxSize = math.MaxUint32

	minSize = headerMin + footerMin + trailerSize
)

// ErrFormat is what every segment is that is not as the format says, or not the one that was
// asked for. It is never the fault of the network: reading again gives the same bytes.
var ErrFormat = errors.New("corrupt segment")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// Header is the first part of a segment.
type Header struct {
	Kind    uint8
	Cluster string
	Share   string
	ID      ID
}

// Extent is the contiguous bytes of one partition in a segment.
type Extent struct {
	Partition    topic.Partition
	Position     uint32
	Length       uint32
	Records      uint64
	MaxTimestamp int64 // Unix milliseconds
	CRC          uint32
}

// Footer lists the extents of a segment in the order of their positions.
type Footer struct {
	Header  Header
	Extents []Extent
	// Position is where the footer begins, and the last extent ends.
	Position uint32
}

// HeaderSize is the length of the header of a segment of the cluster and share, in bytes.
func HeaderSize(cluster, share string) int {
	return headerFixed + 1 + len(cluster) + 1 + len(share) + 4
}

// AppendHeader encodes h, whose names CheckName has accepted.
func AppendHeader(dst []byte, h Header) []byte {
	start := len(dst)
	dst = append(dst, headMagic...)
	dst = append(dst, version, h.Kind)
	dst = binary.BigEndian.AppendUint16(dst, uint16(HeaderSize(h.Cluster, h.Share)))
	dst = binary.BigEndian.AppendUint32(dst, h.ID.Incarnation)
	dst = binary.BigEndian.AppendUint64(dst, h.ID.Session)
	dst = binary.BigEndian.AppendUint64(dst, h.ID.Sequence)
	dst = append(append(dst, byte(len(h.Cluster))), h.Cluster...)
	dst = append(append(dst, byte(len(h.Share))), h.Share...)
	return appendCRC(dst, start)
}

// ParseHeader decodes the header at the start of b, and says how long it is.
func ParseHeader(b []byte) (Header, int, error) {
	switch {
	case len(b) < headerMin:
		return Header{}, 0, corrupt("header cut off at %d bytes", len(b))
	case string(b[:len(headMagic)]) != headMagic:
		return Header{}, 0, corrupt("no segment: it begins with %q", b[:len(headMagic)])
	case b[8] != version:
		return Header{}, 0, corrupt("version %d, this program reads %d", b[8], version)
	}
	length := int(binary.BigEndian.Uint16(b[10:]))
	if length < headerMin || length > headerMax || length > len(b) {
		return Header{}, 0, corrupt("header of %d bytes in %d", length, len(b))
	}
	if err := checkCRC("header", b[:length]); err != nil {
		return Header{}, 0, err
	}
	h := Header{Kind: b[9], ID: ID{
		Incarnation: binary.BigEndian.Uint32(b[12:]),
		Session:     binary.BigEndian.Uint64(b[16:]),
		Sequence:    binary.BigEndian.Uint64(b[24:]),
	}}
	if h.Kind != KindLevel0 {
		return Header{}, 0, corrupt("kind %d, this program reads %d", h.Kind, KindLevel0)
	}
	names := b[headerFixed : length-4]
	var err error
	if h.Cluster, names, err = cutName("cluster", names); err != nil {
		return Header{}, 0, err
	}
	if h.Share, names, err = cutName("share", names); err != nil {
		return Header{}, 0, err
	}
	if len(names) > 0 {
		return Header{}, 0, corrupt("%d bytes after the header's names", len(names))
	}
	return h, length, nil
}

func cutName(what string, b []byte) (name string, rest []byte, err error) {
	if len(b) == 0 || len(b)-1 < int(b[0]) {
		return "", nil, corrupt("%s name cut off", what)
	}
	name, rest = string(b[1:1+b[0]]), b[1+b[0]:]
	if err := CheckName(what, name); err != nil {
		return "", nil, corrupt("%v", err)
	}
	return name, rest, nil
}

func footerSize(extents int) int { return footerMin + extentSize*extents }

// AppendFooter encodes the extents.
func AppendFooter(dst []byte, extents []Extent) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(extents)))
	for _, e := range extents {
		dst = append(dst, e.Partition.Topic[:]...)
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.Partition.Index))
		dst = binary.BigEndian.AppendUint32(dst, e.Position)
		dst = binary.BigEndian.AppendUint32(dst, e.Length)
		dst = binary.BigEndian.AppendUint64(dst, e.Records)
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.MaxTimestamp))
		dst = binary.BigEndian.AppendUint32(dst, e.CRC)
	}
	return appendCRC(dst, start)
}

// ParseFooter decodes a whole footer and checks that its extents stand back to back from the
// end of the header (at first) to the beginning of the footer (at position), each partition once.
func ParseFooter(b []byte, first, position uint32) ([]Extent, error) {
	if len(b) < footerMin {
		return nil, corrupt("footer of %d bytes", len(b))
	}
	n := binary.BigEndian.Uint32(b)
	if n == 0 || n > MaxExtents || len(b) != footerSize(int(n)) {
		return nil, corrupt("footer of %d bytes for %d extents", len(b), n)
	}
	if err := checkCRC("footer", b); err != nil {
		return nil, err
	}
	extents := make([]Extent, n)
	end := uint64(first)
	for i := range extents {
		e := parseExtent(b[4+extentSize*i:])
		if uint64(e.Position) != end {
			return nil, corrupt("extent %d at %d, the one before ends at %d", i, e.Position, end)
		}
		if e.Partition.Index < 0 || e.Length < record.HeaderSize || e.Records == 0 {
			return nil, corrupt("extent %d: partition %d, %d bytes, %d records", i, e.Partition.Index, e.Length, e.Records)
		}
		if i > 0 && extents[i-1].Partition.Compare(e.Partition) >= 0 {
			return nil, corrupt("extent %d: partition %s out of order", i, e.Partition)
		}
		end += uint64(e.Length)
		extents[i] = e
	}
	if end != uint64(position) {
		return nil, corrupt("extents end at %d, the footer begins at %d", end, position)
	}
	return extents, nil
}

func parseExtent(b []byte) Extent {
	e := Extent{
		Position:     binary.BigEndian.Uint32(b[20:]),
		Length:       binary.BigEndian.Uint32(b[24:]),
		Records:      binary.BigEndian.Uint64(b[28:]),
		MaxTimestamp: int64(binary.BigEndian.Uint64(b[36:])),
		CRC:          binary.BigEndian.Uint32(b[44:]),
	}
	copy(e.Partition.Topic[:], b)
	e.Partition.Index = int32(binary.BigEndian.Uint32(b[16:]))
	return e
}

// appendTrailer encodes where the footer is.
func appendTrailer(dst []byte, position, length uint32) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, position)
	dst = binary.BigEndian.AppendUint32(dst, length)
	dst = append(dst, tailMagic...)
	dst = append(dst, version, 0, 0, 0)
	return appendCRC(dst, start)
}

// parseTrailer decodes the last bytes of a segment of the given size and bounds what they say.
func parseTrailer(b []byte, size int64) (position, length uint32, err error) {
	switch {
	case len(b) != trailerSize:
		return 0, 0, corrupt("trailer of %d bytes", len(b))
	case string(b[8:16]) != tailMagic:
		return 0, 0, corrupt("no trailer: it holds %q", b[8:16])
	}
	if err := checkCRC("trailer", b); err != nil {
		return 0, 0, err
	}
	if b[16] != version || b[17]|b[18]|b[19] != 0 {
		return 0, 0, corrupt("trailer version % x, this program reads %d", b[16:20], version)
	}
	position, length = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if position < headerMin || length < footerMin || length > uint32(footerSize(MaxExtents)) ||
		int64(position)+int64(length)+trailerSize != size {
		return 0, 0, corrupt("footer at %d of %d bytes in %d", position, length, size)
	}
	return position, length, nil
}

// appendCRC appends the checksum of what was appended since start.
func appendCRC(dst []byte, start int) []byte {
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// checkCRC checks that b ends with the checksum of all before it.
func checkCRC(what string, b []byte) error {
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return corrupt("%s CRC-32C is %08x, it says %08x", what, got, sum)
	}
	return nil
}
