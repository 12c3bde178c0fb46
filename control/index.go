package control

import (
	"sort"

	"github.com/isthmusdata/isthmus/internal/cow"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// extent is an index entry: consecutive records of one partition, contiguous in one object. It
// takes 32 bytes and holds no pointer, for there are tens of millions of them.
type extent struct {
	base     int64 // offset of the first record
	maxTime  int64
	segment  uint32 // slot in the segment table
	position uint32
	length   uint32
	records  uint32
}

// sealed is a full block of a partition's entries.
type sealed struct {
	block   uint32
	maxTime int64 // the greatest of the block: a search by time looks at this first
}

// partition is one log. Its entries lie in blocks of the shared pool; they are appended at one
// end and dropped at the other, so nothing of them is copied for a snapshot, and offsets ascend
// without holes (I1).
type partition struct {
	links    cow.Links
	topic    topic.ID
	index    int32
	number   uint64 // unique for ever, unlike the place in the list
	logStart int64
	end      int64
	bytes    int64 // of all entries
	entries  int

	head    int      // entries of the first block that are dropped already
	full    []sealed // blocks that are full, the first perhaps dropped in part
	tail    uint32   // the block being filled, or cow.None
	tailLen int
	tailMax int64
	due     int64 // when the agenda has its next retention, or never
}

// Chain lets partitions stand in a list.
func (p *partition) Chain() *cow.Links { return &p.links }

// blockReader reads blocks from the pool or from a view of it.
type blockReader interface {
	Block(id uint32) *cow.Block[extent]
}

// entry returns the i-th live entry.
func (p *partition) entry(r blockReader, i int) *extent {
	at := p.head + i
	if b := at / cow.BlockLen; b < len(p.full) {
		return &r.Block(p.full[b].block)[at%cow.BlockLen]
	}
	return &r.Block(p.tail)[at-len(p.full)*cow.BlockLen]
}

// find returns the entry that holds the offset; it must lie in [logStart, end).
func (p *partition) find(r blockReader, offset int64) int {
	return sort.Search(p.entries, func(i int) bool { return p.entry(r, i).base > offset }) - 1
}

// append adds an entry at the end. Only the owner of the state calls it; a view of an earlier
// moment never looks at the place that is written.
func (s *State) append(p *partition, e extent) {
	if p.tail == cow.None {
		p.tail, p.tailLen, p.tailMax = s.blocks.Alloc(), 0, e.maxTime
	}
	s.blocks.Block(p.tail)[p.tailLen] = e
	p.tailLen++
	p.tailMax = max(p.tailMax, e.maxTime)
	if p.tailLen == cow.BlockLen {
		p.full = append(p.full, sealed{block: p.tail, maxTime: p.tailMax})
		p.tail, p.tailLen = cow.None, 0
	}
	p.entries++
	p.bytes += int64(e.length)
	p.end = e.base + int64(e.records)
	s.entries++
}

// dropFirst removes the oldest entry, and its bytes from its segment.
func (s *State) dropFirst(p *partition) {
	e := *p.entry(&s.blocks, 0)
	p.head++
	p.entries--
	p.bytes -= int64(e.length)
	s.entries--
	switch {
	case len(p.full) > 0 && p.head == cow.BlockLen:
		s.blocks.Free(p.full[0].block)
		p.full = p.full[1:]
		p.head = 0
	case p.entries == 0 && p.tail != cow.None:
		s.blocks.Free(p.tail)
		p.tail, p.tailLen, p.head = cow.None, 0, 0
	}
	s.shrinkSegment(e.segment, e.length)
}

// byTime returns the first entry whose greatest timestamp is at least ts. Timestamps need not
// ascend, so blocks are looked at in order; there are few of them.
func (p *partition) byTime(r blockReader, ts int64) (int, bool) {
	for i := 0; i < p.entries; {
		b := (p.head + i) / cow.BlockLen
		next := min((b+1)*cow.BlockLen-p.head, p.entries)
		blockMax := p.tailMax
		if b < len(p.full) {
			blockMax = p.full[b].maxTime
		}
		if blockMax >= ts {
			for ; i < next; i++ {
				if p.entry(r, i).maxTime >= ts {
					return i, true
				}
			}
		}
		i = next // the block's greatest belonged to an entry that is dropped, or it has none so late
	}
	return 0, false
}

// latest returns the first entry with the greatest timestamp of all.
func (p *partition) latest(r blockReader) (int, bool) {
	if p.entries == 0 {
		return 0, false
	}
	best := p.entry(r, 0).maxTime
	for i := 0; i < p.entries; {
		b := (p.head + i) / cow.BlockLen
		next := min((b+1)*cow.BlockLen-p.head, p.entries)
		blockMax := p.tailMax
		if b < len(p.full) {
			blockMax = p.full[b].maxTime
		}
		for ; blockMax > best && i < next; i++ {
			best = max(best, p.entry(r, i).maxTime)
		}
		i = next
	}
	return p.byTime(r, best)
}

// location spells an entry out for those who read.
func (s *State) location(p *partition, e *extent) segment.Location {
	g := s.segments.at(e.segment)
	return segment.Location{
		Partition:    topic.Partition{Topic: p.topic, Index: p.index},
		Base:         topic.Offset(e.base),
		Records:      e.records,
		Object:       s.object(g),
		Size:         g.size,
		Position:     e.position,
		Length:       e.length,
		MaxTimestamp: e.maxTime,
	}
}
