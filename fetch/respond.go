package fetch

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// smallBatch is the size, in bytes, up to which a batch is copied whole: one slice more for the
// kernel to gather costs more than the copy.
const smallBatch = 4 << 10

// scratchSize is the size of the blocks that headers and small batches are copied into.
const scratchSize = 64 << 10

// answered is one partition of an answer.
type answered struct {
	ref
	code     int16
	high     topic.Offset // and last stable offset
	logStart topic.Offset
	records  gathered
}

// gathered is bytes in several slices.
type gathered struct {
	slices   net.Buffers
	size     int
	count    int64 // of records
	referred int   // slices that are parts of chunks
}

// scratch lends blocks to copy into. Consecutive copies lie next to each other, so that many
// small ones become one slice. It is given back as a whole once the answer is written.
type scratch struct {
	pool   *scratchPool
	blocks []*[scratchSize]byte
	free   []byte
}

// scratchPool is where all answers borrow from, and counts what is lent.
type scratchPool struct {
	sync.Pool
	lent atomic.Int64 // bytes
}

func newScratchPool() *scratchPool {
	return &scratchPool{Pool: sync.Pool{New: func() any { return new([scratchSize]byte) }}}
}

// alloc returns n bytes, at most scratchSize, and whether they directly follow those lent before.
func (s *scratch) alloc(n int) (b []byte, follows bool) {
	follows = n <= len(s.free)
	if !follows {
		block := s.pool.Get().(*[scratchSize]byte)
		s.pool.lent.Add(scratchSize)
		s.blocks = append(s.blocks, block)
		s.free = block[:]
	}
	b = s.free[:n]
	s.free = s.free[n:]
	return b, follows
}

func (s *scratch) release() {
	for _, b := range s.blocks {
		s.pool.Put(b)
	}
	s.pool.lent.Add(-scratchSize * int64(len(s.blocks)))
	s.blocks, s.free = nil, nil
}

// copied appends n bytes that fill writes. last says that the slice before ends in scratch.
func (g *gathered) copied(s *scratch, n int, last *bool, fill func(b []byte)) {
	b, follows := s.alloc(n)
	fill(b)
	g.size += n
	if follows && *last {
		i := len(g.slices) - 1
		g.slices[i] = g.slices[i][:len(g.slices[i])+n]
		return
	}
	// The capacity reaches to the end of the block, so that the next copy can extend the slice.
	g.slices = append(g.slices, b[:n:cap(b)])
	*last = true
}

// refer appends a part of a chunk as it stands.
func (g *gathered) refer(b []byte) {
	g.slices = append(g.slices, b)
	g.size += len(b)
	g.referred++
}

// cut appends to g the batches of a location that hold records from offset on: whole batches
// while they fit into budget, or, if one is due, the first whatever its size. data is the
// location's bytes, verified. It returns the offset after the last batch appended and whether
// the budget ended the cut.
//
// A level-0 batch carries neither offset nor leader epoch: both are stamped into a copy of its
// header, and the rest is written from the cache as it is.
func cut(g *gathered, s *scratch, data []byte, base topic.Offset, stamped bool, epoch int32, offset topic.Offset, budget int64, due bool) (next topic.Offset, full bool, err error) {
	next = offset
	inScratch := false
	from, to := 0, 0 // of the stored batches that go out as they are, not yet appended
	at := 0
	for at < len(data) {
		b, rest, err := record.Split(data[at:])
		if err != nil {
			return next, false, err
		}
		first := base
		base += topic.Offset(b.LastOffsetDelta()) + 1
		if base > offset {
			if int64(g.size+to-from+len(b)) > budget && !(due && g.size+to-from == 0) {
				full = true
				break
			}
			if stamped {
				if to == from {
					from = at
				}
				to = at + len(b)
			} else {
				stampInto(g, s, &inScratch, b, first, epoch)
			}
			g.count += int64(b.NumRecords())
			next = base
		}
		at = len(data) - len(rest)
	}
	if to > from {
		g.refer(data[from:to:to])
	}
	return next, full, nil
}

func stampInto(g *gathered, s *scratch, inScratch *bool, b record.Batch, base topic.Offset, epoch int32) {
	n := record.HeaderSize
	if len(b) <= smallBatch {
		n = len(b)
	}
	g.copied(s, n, inScratch, func(dst []byte) {
		copy(dst[record.HeaderSize:], b[record.HeaderSize:n])
		record.Stamp((*[record.HeaderSize]byte)(dst), b, base, epoch)
	})
	if n < len(b) {
		g.refer(b[n:])
		*inScratch = false
	}
}

// response is a Fetch answer to be encoded.
type response struct {
	version   int16
	code      int16
	sessionID int32
	committed bool // isolation level read_committed
	parts     []answered
}

// encode writes the response, versions 4 to 17, as slices to be gathered: everything but the
// records in slices of its own, the records as they stand. The response header is not part of it.
func (r *response) encode() net.Buffers {
	e := encoder{version: r.version, flexible: r.version >= 12}
	e.int32(0) // throttle
	if r.version >= 7 {
		e.int16(r.code)
		e.int32(r.sessionID)
	}
	runs := byTopic(r.parts)
	e.arrayLen(len(runs))
	for _, run := range runs {
		if r.version >= 13 {
			e.b = append(e.b, run[0].id[:]...)
		} else {
			e.string(run[0].name)
		}
		e.arrayLen(len(run))
		for i := range run {
			e.partition(&run[i], r.committed)
		}
		e.tags()
	}
	e.tags()
	return e.finish()
}

// byTopic groups partitions by topic, in the order of their first.
func byTopic(parts []answered) [][]answered {
	var groups [][]answered
	at := map[ref]int{}
	for start := 0; start < len(parts); {
		end := start + 1
		for end < len(parts) && parts[end].name == parts[start].name && parts[end].id == parts[start].id {
			end++
		}
		run := parts[start:end:end]
		start = end
		r := ref{name: run[0].name, id: run[0].id}
		i, again := at[r]
		if again {
			groups[i] = append(groups[i], run...)
			continue
		}
		at[r] = len(groups)
		groups = append(groups, run)
	}
	return groups
}

// encoder appends to b and puts what is referred to, rather than copied, between its parts.
type encoder struct {
	version  int16
	flexible bool
	out      net.Buffers
	b        []byte
}

func (e *encoder) partition(p *answered, committed bool) {
	e.int32(p.index)
	e.int16(p.code)
	e.int64(int64(p.high))
	e.int64(int64(p.high)) // last stable: nothing is undecided before transactions are served
	if e.version >= 5 {
		e.int64(int64(p.logStart))
	}
	if committed {
		e.arrayLen(0) // aborted transactions
	} else {
		e.nullArray()
	}
	if e.version >= 11 {
		e.int32(-1) // preferred read replica
	}
	e.bytesLen(p.records.size)
	e.refer(p.records.slices)
	e.tags()
}

func (e *encoder) int16(v int16) { e.b = binary.BigEndian.AppendUint16(e.b, uint16(v)) }
func (e *encoder) int32(v int32) { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }
func (e *encoder) int64(v int64) { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }

func (e *encoder) arrayLen(n int) {
	if e.flexible {
		e.b = binary.AppendUvarint(e.b, uint64(n)+1)
	} else {
		e.int32(int32(n))
	}
}

func (e *encoder) nullArray() {
	if e.flexible {
		e.b = append(e.b, 0)
	} else {
		e.int32(-1)
	}
}

// bytesLen begins a byte string. It is never null: clients loop on null records.
func (e *encoder) bytesLen(n int) { e.arrayLen(n) }

func (e *encoder) string(s string) {
	if e.flexible {
		e.b = binary.AppendUvarint(e.b, uint64(len(s))+1)
	} else {
		e.int16(int16(len(s)))
	}
	e.b = append(e.b, s...)
}

func (e *encoder) tags() {
	if e.flexible {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) refer(slices net.Buffers) {
	if len(slices) == 0 {
		return
	}
	if len(e.b) > 0 {
		e.out = append(e.out, e.b)
		e.b = nil
	}
	e.out = append(e.out, slices...)
}

func (e *encoder) finish() net.Buffers {
	if len(e.b) > 0 {
		e.out = append(e.out, e.b)
	}
	return e.out
}
