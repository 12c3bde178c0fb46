package segment

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/isthmusdata/isthmus/internal/record"
)

// maxFaults bounds what Verify reports of one segment.
const maxFaults = 100

// Verify reads a whole segment and reports all that is wrong with it, joined; nil if nothing
// is. It holds no more than the footer in memory. Whether the records inside a batch are well
// formed is not asked: that is between the client that sent it and record.VerifyRecords.
func Verify(r io.ReaderAt, size int64) error {
	return inspect(r, size, printer{io.Discard})
}

// Dump prints a segment, annotated: the fields of header, footer and trailer with their bytes,
// and a line for each extent and batch. A damaged segment is printed as far as it can be read,
// and the error then reports all that is wrong with it, as Verify does. An error of w ends it.
func Dump(w io.Writer, r io.ReaderAt, size int64) error {
	ew := &errWriter{w: w}
	err := inspect(r, size, printer{ew})
	return errors.Join(ew.err, err)
}

// ReaderAt makes an object readable for Dump and Verify. It reads in pieces of a mebibyte and
// keeps the last one; it is not safe for concurrent use.
func ReaderAt(ctx context.Context, get RangeGetter, key string, size int64) io.ReaderAt {
	return &pieces{ctx: ctx, get: get, key: key, size: size}
}

type pieces struct {
	ctx  context.Context // of the one command that reads
	get  RangeGetter
	key  string
	size int64
	from int64
	have []byte
}

func (p *pieces) ReadAt(b []byte, at int64) (int, error) {
	const piece = 1 << 20
	n := int64(len(b))
	if at < 0 || n > p.size-at {
		return 0, io.ErrUnexpectedEOF
	}
	if at < p.from || at+n > p.from+int64(len(p.have)) {
		have, err := getExactly(p.ctx, p.get, p.key, at, max(n, min(piece, p.size-at)))
		if err != nil {
			return 0, err
		}
		p.from, p.have = at, have
	}
	return copy(b, p.have[at-p.from:]), nil
}

// inspector walks a segment once and collects faults on the way.
type inspector struct {
	r      io.ReaderAt
	size   int64
	out    printer
	faults []error
	buf    []byte
}

func inspect(r io.ReaderAt, size int64, out printer) error {
	in := &inspector{r: r, size: size, out: out, buf: make([]byte, 64<<10)}
	in.run()
	return errors.Join(in.faults...)
}

func (in *inspector) fault(err error) {
	switch {
	case err == nil:
		return
	case len(in.faults) < maxFaults:
		in.faults = append(in.faults, err)
	case len(in.faults) == maxFaults:
		in.faults = append(in.faults, fmt.Errorf("more than %d faults; the rest is not listed", maxFaults))
	}
	in.out.fault(err)
}

func (in *inspector) run() {
	if in.size < minSize || in.size > MaxSize {
		in.fault(corrupt("%d bytes; a segment has %d to %d", in.size, minSize, int64(MaxSize)))
		return
	}
	first := in.header()
	extents, footer, position := in.tail(first)
	switch {
	case extents != nil:
		for i := range extents {
			in.extent(&extents[i])
		}
	case first > 0:
		in.out.text("no footer: what follows the header is read as batches until that fails")
		in.batches(first, in.size, func(int64, record.Batch, uint32) {})
	}
	if footer != nil {
		in.out.footer(int64(position), footer)
	}
	in.trailer()
}

// header prints the header and returns where it ends, or 0 if that is not known.
func (in *inspector) header() int64 {
	b, err := in.read(0, min(in.size, headerMax))
	if err != nil {
		in.fault(err)
		return 0
	}
	h, length, err := ParseHeader(b)
	if err != nil {
		in.fault(err)
		return 0
	}
	in.out.header(h, b[:length], in.size)
	return int64(length)
}

// tail reads trailer and footer; they are printed later, where they stand.
func (in *inspector) tail(first int64) (extents []Extent, footer []byte, position uint32) {
	b, err := in.read(in.size-trailerSize, trailerSize)
	if err != nil {
		in.fault(err)
		return nil, nil, 0
	}
	position, length, err := parseTrailer(b, in.size)
	if err != nil {
		in.fault(err)
		return nil, nil, 0
	}
	if footer, err = in.read(int64(position), int64(length)); err != nil {
		in.fault(err)
		return nil, nil, 0
	}
	if first == 0 && len(footer) >= footerSize(1) { // without a header, believe the first extent
		first = int64(parseExtent(footer[4:]).Position)
	}
	extents, err = ParseFooter(footer, uint32(first), position)
	if err != nil {
		in.fault(err)
		return nil, nil, 0
	}
	return extents, footer, position
}

func (in *inspector) trailer() {
	b, err := in.read(in.size-trailerSize, trailerSize)
	if err != nil {
		return // reported by tail
	}
	if _, _, err := parseTrailer(b, in.size); err == nil {
		in.out.trailer(in.size-trailerSize, b)
	}
}

// extent walks the batches of one extent and compares their sums with the footer's.
func (in *inspector) extent(e *Extent) {
	in.out.extent(e)
	got := Extent{Partition: e.Partition, Position: e.Position, MaxTimestamp: math.MinInt64}
	whole := in.batches(int64(e.Position), int64(e.Position)+int64(e.Length), func(_ int64, b record.Batch, crc uint32) {
		got.CRC = combineCRC(got.CRC, crc, b.Length())
		got.Length += uint32(b.Length())
		got.Records += uint64(uint32(b.NumRecords()))
		got.MaxTimestamp = max(got.MaxTimestamp, b.MaxTimestamp())
	})
	if !whole {
		return // reported, and the sums would only repeat it
	}
	if got.CRC != e.CRC {
		in.fault(corrupt("extent %s: CRC-32C is %08x, the footer says %08x", e.Partition, got.CRC, e.CRC))
	}
	if got.Records != e.Records || got.MaxTimestamp != e.MaxTimestamp {
		in.fault(corrupt("extent %s: %d records until %s, the footer says %d until %s", e.Partition,
			got.Records, timeText(got.MaxTimestamp), e.Records, timeText(e.MaxTimestamp)))
	}
}

// batches walks the batches between from and to, and reports whether they fill it. The header
// that f is given says how long the batch is; crc is of all its bytes as they are.
func (in *inspector) batches(from, to int64, f func(at int64, header record.Batch, crc uint32)) bool {
	delta := int64(0)
	for at := from; at < to; {
		if to-at < record.HeaderSize {
			in.fault(corrupt("%d bytes at %d are less than a batch", to-at, at))
			return false
		}
		b, err := in.read(at, record.HeaderSize)
		if err != nil {
			in.fault(err)
			return false
		}
		h := record.Batch(b)
		length := int64(h.Length())
		if h.Magic() != record.Magic || length < record.HeaderSize || length > to-at {
			in.fault(corrupt("batch at %d: magic %d, %d bytes of %d", at, h.Magic(), length, to-at))
			return false
		}
		sum, err := in.sum(at+record.Covered, at+length)
		if err != nil {
			in.fault(err)
			return false
		}
		in.out.batch(at, delta, h, sum == h.CRC())
		if sum != h.CRC() {
			in.fault(corrupt("batch at %d: CRC-32C is %08x, its header says %08x", at, sum, h.CRC()))
		}
		if n, last := h.NumRecords(), h.LastOffsetDelta(); n < 1 || int64(n) != int64(last)+1 {
			in.fault(corrupt("batch at %d: %d records, last offset delta %d", at, n, last))
		}
		f(at, h, combineCRC(crc32.Checksum(h[:record.Covered], castagnoli), sum, int(length)-record.Covered))
		at += length
		delta += int64(h.LastOffsetDelta()) + 1
	}
	return true
}

// sum is the CRC-32C of the bytes from one position to another, read in pieces.
func (in *inspector) sum(from, to int64) (crc uint32, err error) {
	for from < to {
		piece := in.buf[:min(int64(len(in.buf)), to-from)]
		if err := in.readInto(piece, from); err != nil {
			return 0, err
		}
		crc = crc32.Update(crc, castagnoli, piece)
		from += int64(len(piece))
	}
	return crc, nil
}

// read returns new bytes; its callers bound length.
func (in *inspector) read(at, length int64) ([]byte, error) {
	b := make([]byte, length)
	return b, in.readInto(b, at)
}

func (in *inspector) readInto(b []byte, at int64) error {
	n, err := in.r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(b), at, err)
}

// extentFields are the fields of a footer's extent, for printing.
func extentFields(b []byte) []field {
	e := parseExtent(b)
	return []field{
		{16, "  topic " + e.Partition.Topic.String()},
		{4, fmt.Sprintf("  partition %d", e.Partition.Index)},
		{4, fmt.Sprintf("  position %d", e.Position)},
		{4, fmt.Sprintf("  length %d bytes", e.Length)},
		{8, fmt.Sprintf("  records %d", e.Records)},
		{8, "  maximum timestamp " + timeText(e.MaxTimestamp)},
		{4, fmt.Sprintf("  CRC-32C %08x", binary.BigEndian.Uint32(b[44:]))},
	}
}
