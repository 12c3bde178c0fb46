package segment

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"slices"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Removed is the Row of a RowRef whose batch was left out.
const Removed = -1

// RowRef says where an added batch stands: the row that was asked to be placed with it, and
// how many records of that row come before it. With the row's Answer it gives the batch's offset.
type RowRef struct {
	Row     int // Removed if the batch was left out
	Records uint32
}

// Sealed is a finished segment. Body and the slices in it are never changed: hedges send
// them under several keys at once.
type Sealed struct {
	ID       ID
	Body     [][]byte // header, batches, footer with trailer
	Size     int      // bytes of Body
	CRC      uint32   // CRC-32C of the concatenated Body
	Manifest Manifest
	// Placement has one entry for each batch, in the order of Add.
	Placement []RowRef
}

// Builder gathers verified batches of one share into one segment. It keeps the slices it is
// given and copies no payload. It is not safe for concurrent use.
//
// Batches must have passed record.Verify (their CRCs are what the segment's are made of), and
// those of LogAppendTime topics must have been stamped.
type Builder struct {
	cluster, share string

	batches []added
	parts   map[topic.Partition]*part
	payload int // bytes of the batches that are kept
	rows    int
	kept    int
	// encoded is an upper bound of what the kept rows and their groups take in the manifest,
	// but for the timestamps: those depend on the order, and so on minTime and maxTime.
	encoded          int
	minTime, maxTime int64
}

type added struct {
	partition topic.Partition
	batch     record.Batch
	removed   bool
}

// part is the open row of a partition's batches without a producer id; batches is 0 if there is none.
type part struct {
	batches int
	length  int
	records int64
}

// NewBuilder starts a segment of the share.
func NewBuilder(cluster, share string) *Builder {
	b := &Builder{cluster: cluster, share: share}
	b.reset()
	return b
}

func (b *Builder) reset() {
	b.parts = make(map[topic.Partition]*part)
	b.payload, b.rows, b.kept, b.encoded = 0, 0, 0, 0
	b.minTime, b.maxTime = math.MaxInt64, math.MinInt64
}

// Add appends batches of one partition, in the order in which they are to be placed. The
// builder does not refuse: the caller asks Fits before, or seals when a bound is near.
func (b *Builder) Add(p topic.Partition, batches ...record.Batch) {
	for _, one := range batches {
		b.batches = append(b.batches, added{partition: p, batch: one})
		b.count(p, one)
	}
}

// Fits reports whether a segment with the batch added could still be sealed.
func (b *Builder) Fits(batch record.Batch) bool {
	return b.rows < MaxRows &&
		b.ManifestSize()+maxEncodedGroup+maxEncodedRow <= MaxManifest &&
		b.Size()+len(batch)+extentSize <= MaxSize
}

// Size is the size of the segment in bytes, were it sealed now.
func (b *Builder) Size() int {
	return HeaderSize(b.cluster, b.share) + b.payload + footerSize(len(b.parts)) + trailerSize
}

// Rows is the number of rows of the manifest.
func (b *Builder) Rows() int { return b.rows }

// ManifestSize is the size of the encoded manifest in bytes, or a little more.
func (b *Builder) ManifestSize() int {
	step := 0
	if b.rows > 1 {
		step = 10
		if span := uint64(b.maxTime - b.minTime); span < 1<<62 {
			step = uvarintSize(2 * span) // a varint spends one bit on the sign
		}
	}
	return encodedHead + b.encoded + b.rows*step
}

// Empty reports whether no batch is left.
func (b *Builder) Empty() bool { return b.kept == 0 }

// Remove leaves out every batch for which f is true. Batches without a producer id have
// Producer{ID: NoProducer}.
func (b *Builder) Remove(f func(p topic.Partition, pr Producer) bool) {
	b.reset()
	for i := range b.batches {
		a := &b.batches[i]
		a.removed = a.removed || f(a.partition, ProducerOf(a.batch))
		if !a.removed {
			b.count(a.partition, a.batch)
		}
	}
}

// Upper bounds of the manifest's parts, in bytes: see AppendManifest.
const (
	encodedHead     = 1 + 5 + 2 + 5 + 10 // version, size, rows; the first gap, and the first time
	maxEncodedGroup = 16 + 5 + 2
	maxEncodedRow   = 1 + 5 + 5 + 10 + 10 + 3 + 5
)

// count adds the batch to the running totals exactly as layOut will add it to rows.
func (b *Builder) count(p topic.Partition, batch record.Batch) {
	b.kept++
	b.payload += len(batch)
	b.minTime = min(b.minTime, batch.MaxTimestamp())
	b.maxTime = max(b.maxTime, batch.MaxTimestamp())
	open := b.parts[p]
	if open == nil {
		open = &part{}
		b.parts[p] = open
		b.encoded += maxEncodedGroup
	}
	pr := ProducerOf(batch)
	if pr.ID >= 0 {
		b.rows++
		b.encoded += 1 + uvarintSize(uint64(len(batch))) + uvarintSize(uint64(uint32(batch.NumRecords()))) +
			uvarintSize(uint64(pr.ID)+1) + uvarintSize(uint64(uint16(pr.Epoch))) + uvarintSize(uint64(uint32(pr.First)))
		return
	}
	if open.merges(batch) {
		return
	}
	*open = part{batches: 1, length: len(batch), records: int64(batch.NumRecords())}
	b.rows++
	b.encoded += 1 + 5 + 5 + 1
}

// merges adds a batch to the open row if it has room there.
func (o *part) merges(batch record.Batch) bool {
	length, records := o.length+len(batch), o.records+int64(batch.NumRecords())
	if o.batches == 0 || length > MaxExtent || records > math.MaxInt32 {
		return false
	}
	*o = part{batches: o.batches + 1, length: length, records: records}
	return true
}

func uvarintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// Finish seals the segment under id. Partitions ascend; in each, the batches without a producer
// id come first, merged into one row (or a few: MaxExtent), and then those with one, a row each,
// both in the order of Add. It fails when nothing is left or a bound is passed, and changes
// nothing: it may be called again.
func (b *Builder) Finish(id ID) (Sealed, error) {
	if b.Empty() {
		return Sealed{}, errors.New("seal segment: it is empty")
	}
	if err := errors.Join(CheckName("cluster", b.cluster), CheckName("share", b.share)); err != nil {
		return Sealed{}, fmt.Errorf("seal segment %s: %w", id, err)
	}
	if b.Size() > MaxSize {
		return Sealed{}, fmt.Errorf("seal segment %s: %d bytes, at most %d", id, b.Size(), MaxSize)
	}
	s := b.layOut(id)
	if err := s.Manifest.Validate(); err != nil {
		return Sealed{}, fmt.Errorf("seal segment %s: %w", id, err)
	}
	return s, nil
}

// order returns the indices of the kept batches as they stand in the segment.
func (b *Builder) order() []int {
	order := make([]int, 0, b.kept)
	for i := range b.batches {
		if !b.batches[i].removed {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int {
		x, y := &b.batches[i], &b.batches[j]
		if c := x.partition.Compare(y.partition); c != 0 {
			return c
		}
		return rank(x.batch) - rank(y.batch)
	})
	return order
}

func rank(b record.Batch) int {
	if b.ProducerID() < 0 {
		return 0
	}
	return 1
}

func (b *Builder) layOut(id ID) Sealed {
	header := AppendHeader(nil, Header{Kind: KindLevel0, Cluster: b.cluster, Share: b.share, ID: id})
	s := Sealed{
		ID:        id,
		Body:      append(make([][]byte, 0, b.kept+2), header),
		Size:      b.Size(),
		CRC:       crc32.Checksum(header, castagnoli),
		Manifest:  Manifest{Size: uint32(b.Size()), Rows: make([]Row, 0, b.rows)},
		Placement: make([]RowRef, len(b.batches)),
	}
	for i := range s.Placement {
		s.Placement[i].Row = Removed
	}
	extents := make([]Extent, 0, len(b.parts))
	position := uint32(len(header))
	var open part
	for _, i := range b.order() {
		p, batch := b.batches[i].partition, b.batches[i].batch
		if n := len(extents); n == 0 || extents[n-1].Partition != p {
			extents = append(extents, Extent{Partition: p, Position: position, MaxTimestamp: math.MinInt64})
			open = part{}
		}
		extents[len(extents)-1].append(batch)
		s.Placement[i] = s.addRow(p, batch, position, &open)
		s.Body = append(s.Body, batch)
		position += uint32(len(batch))
	}
	for _, e := range extents {
		s.CRC = combineCRC(s.CRC, e.CRC, int(e.Length))
	}
	footer := AppendFooter(nil, extents)
	tail := appendTrailer(footer, position, uint32(len(footer)))
	s.CRC = crc32.Update(s.CRC, castagnoli, tail)
	s.Body = append(s.Body, tail)
	return s
}

// addRow adds the batch to the manifest, in the open row or in one of its own.
func (s *Sealed) addRow(p topic.Partition, batch record.Batch, position uint32, open *part) RowRef {
	rows := &s.Manifest.Rows
	pr := ProducerOf(batch)
	if pr.ID < 0 && open.merges(batch) {
		r := &(*rows)[len(*rows)-1]
		ref := RowRef{Row: len(*rows) - 1, Records: r.Records}
		r.Length += uint32(len(batch))
		r.Records += uint32(batch.NumRecords())
		r.MaxTimestamp = max(r.MaxTimestamp, batch.MaxTimestamp())
		return ref
	}
	if pr.ID < 0 {
		*open = part{batches: 1, length: len(batch), records: int64(batch.NumRecords())}
	}
	*rows = append(*rows, Row{
		Partition:    p,
		Position:     position,
		Length:       uint32(len(batch)),
		Records:      uint32(batch.NumRecords()),
		MaxTimestamp: batch.MaxTimestamp(),
		Producer:     pr,
	})
	return RowRef{Row: len(*rows) - 1}
}

// append extends the extent by a batch.
func (e *Extent) append(b record.Batch) {
	e.CRC = combineCRC(e.CRC, batchCRC(b), len(b))
	e.Length += uint32(len(b))
	e.Records += uint64(uint32(b.NumRecords()))
	e.MaxTimestamp = max(e.MaxTimestamp, b.MaxTimestamp())
}

// batchCRC is the CRC-32C of the whole batch, from the one that it carries.
func batchCRC(b record.Batch) uint32 {
	return combineCRC(crc32.Checksum(b[:record.Covered], castagnoli), b.CRC(), len(b)-record.Covered)
}
