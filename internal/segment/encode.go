package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Bounds of one manifest. A segment closes before it passes either, so that one commit
// stays a small part of a journal entry.
const (
	MaxRows     = 8192
	MaxManifest = 256 << 10 // bytes, encoded
)

// MaxExtent is the most that batches without a producer id are merged to, in bytes: an index
// entry of the control plane holds no more. A single larger batch is a row of its own.
const MaxExtent = 4 << 20

// encodingVersion is the first byte of every encoding of this file. A reader refuses what it
// does not know; a change of meaning takes a new number.
const encodingVersion = 1

// ErrManifest is what every refused manifest or answer list is.
var ErrManifest = errors.New("invalid manifest")

// AppendManifest encodes m:
//
//	version  1 byte
//	size     uvarint
//	rows     uvarint, of all groups together
//	groups, one a partition, until that many rows are read:
//	  topic id 16 bytes, partition uvarint, rows uvarint
//	  each row:
//	    gap        varint   position minus the end of the row before (0 but for the first row)
//	    length     uvarint
//	    records    uvarint
//	    time       varint   maximum timestamp minus that of the row before
//	    producer   uvarint  id + 1; 0: none, and the row ends here
//	    epoch      uvarint
//	    first      uvarint  sequence; the last one follows from the number of records
//
// It encodes what it is given; Validate, or ParseManifest at the other end, refuses nonsense.
func AppendManifest(dst []byte, m *Manifest) []byte {
	dst = append(dst, encodingVersion)
	dst = binary.AppendUvarint(dst, uint64(m.Size))
	dst = binary.AppendUvarint(dst, uint64(len(m.Rows)))
	var end, time int64
	for i := 0; i < len(m.Rows); {
		p := m.Rows[i].Partition
		n := groupLength(m.Rows[i:])
		dst = append(dst, p.Topic[:]...)
		dst = binary.AppendUvarint(dst, uint64(uint32(p.Index)))
		dst = binary.AppendUvarint(dst, uint64(n))
		for _, r := range m.Rows[i : i+n] {
			dst = binary.AppendVarint(dst, int64(r.Position)-end)
			dst = binary.AppendUvarint(dst, uint64(r.Length))
			dst = binary.AppendUvarint(dst, uint64(r.Records))
			dst = binary.AppendVarint(dst, r.MaxTimestamp-time)
			dst = appendProducer(dst, r.Producer)
			end, time = int64(r.Position)+int64(r.Length), r.MaxTimestamp
		}
		i += n
	}
	return dst
}

func groupLength(rows []Row) int {
	n := 1
	for n < len(rows) && rows[n].Partition == rows[0].Partition {
		n++
	}
	return n
}

func appendProducer(dst []byte, p Producer) []byte {
	if p.ID < 0 {
		return binary.AppendUvarint(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(p.ID)+1)
	dst = binary.AppendUvarint(dst, uint64(uint16(p.Epoch)))
	return binary.AppendUvarint(dst, uint64(uint32(p.First)))
}

// ParseManifest decodes and validates a manifest. It allocates for at most MaxRows rows,
// whatever the bytes claim.
func ParseManifest(b []byte) (Manifest, error) {
	if len(b) > MaxManifest {
		return Manifest{}, fmt.Errorf("%w: %d bytes, at most %d", ErrManifest, len(b), MaxManifest)
	}
	d := decoder{b: b}
	d.version()
	m := Manifest{Size: d.uint32()}
	n := d.count(MaxRows, minRow)
	if n > 0 {
		m.Rows = make([]Row, 0, n)
	}
	var end, time int64
	for len(m.Rows) < n && d.err == nil {
		var p topic.Partition
		copy(p.Topic[:], d.take(len(p.Topic)))
		p.Index = d.int32()
		group := d.count(n-len(m.Rows), minRow)
		if group == 0 {
			d.fail("empty group")
		}
		for range group {
			r := d.row(p, end, time)
			end, time = int64(r.Position)+int64(r.Length), r.MaxTimestamp
			m.Rows = append(m.Rows, r)
		}
	}
	if err := d.finish(); err != nil {
		return Manifest{}, err
	}
	if err := m.Validate(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// minRow is the fewest bytes a row can be encoded in.
const minRow = 5

func (d *decoder) row(p topic.Partition, end, time int64) Row {
	r := Row{Partition: p}
	position := end + d.varint()
	if position < 0 || position > math.MaxUint32 {
		d.fail("row position")
	}
	r.Position = uint32(position)
	r.Length, r.Records = d.uint32(), d.uint32()
	r.MaxTimestamp = time + d.varint()
	r.Producer = d.producer(r.Records)
	return r
}

func (d *decoder) producer(records uint32) Producer {
	id := d.uvarint()
	switch {
	case id == 0:
		return Producer{ID: NoProducer}
	case id-1 > math.MaxInt64:
		d.fail("producer id")
	}
	p := Producer{ID: int64(id - 1)}
	if epoch := d.uvarint(); epoch <= math.MaxInt16 {
		p.Epoch = int16(epoch)
	} else {
		d.fail("producer epoch")
	}
	p.First = d.int32()
	p.Last = lastSequence(p.First, records)
	return p
}

// lastSequence is the sequence of the last of n records; sequences wrap from 2^31-1 to 0.
func lastSequence(first int32, n uint32) int32 {
	return int32((int64(first) + int64(n) - 1) & math.MaxInt32)
}

// Validate reports the first thing that is wrong with m: too many rows, rows that overlap or
// are out of order, a row outside the object, impossible counts or producers. Partitions
// ascend, so that each has one place; the empty manifest is valid.
func (m *Manifest) Validate() error {
	if len(m.Rows) > MaxRows {
		return fmt.Errorf("%w: %d rows, at most %d", ErrManifest, len(m.Rows), MaxRows)
	}
	end := uint64(0)
	for i := range m.Rows {
		r := &m.Rows[i]
		switch next := uint64(r.Position) + uint64(r.Length); {
		case uint64(r.Position) < end:
			return fmt.Errorf("%w: row %d at %d begins before %d", ErrManifest, i, r.Position, end)
		case next > uint64(m.Size):
			return fmt.Errorf("%w: row %d ends at %d of %d bytes", ErrManifest, i, next, m.Size)
		default:
			end = next
		}
		if i > 0 && m.Rows[i-1].Partition.Compare(r.Partition) > 0 {
			return fmt.Errorf("%w: row %d: partition %s out of order", ErrManifest, i, r.Partition)
		}
		if err := r.validate(); err != nil {
			return fmt.Errorf("%w: row %d: %w", ErrManifest, i, err)
		}
	}
	return nil
}

func (r *Row) validate() error {
	p := r.Producer
	switch {
	case r.Partition.Index < 0:
		return fmt.Errorf("partition %d", r.Partition.Index)
	case r.Length < record.HeaderSize:
		return fmt.Errorf("%d bytes are less than a batch", r.Length)
	case r.Records < 1 || r.Records > math.MaxInt32:
		return fmt.Errorf("%d records", r.Records)
	case p.ID < NoProducer:
		return fmt.Errorf("producer id %d", p.ID)
	case p.ID == NoProducer && p != Producer{ID: NoProducer}:
		return errors.New("sequences without a producer id")
	case p.ID == NoProducer:
		return nil
	case p.Epoch < 0 || p.First < 0:
		return fmt.Errorf("producer %d: epoch %d, sequence %d", p.ID, p.Epoch, p.First)
	case p.Last != lastSequence(p.First, r.Records):
		return fmt.Errorf("producer %d: sequences %d to %d for %d records", p.ID, p.First, p.Last, r.Records)
	}
	return nil
}
