package control

import (
	"github.com/isthmusdata/isthmus/internal/cow"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// segmentEntry is one stored object that index entries refer to by its slot.
type segmentEntry struct {
	nonce       segment.Nonce
	share       uint16 // words
	group       uint16
	incarnation uint32
	size        uint32
	next        uint32 // the next free slot, in a free one
	used        bool
	session     uint64
	sequence    uint64
	live        int64 // bytes that index entries refer to; the slot is free when none is left
	committed   int64 // state time
}

// segmentTable keeps objects by slot. A freed slot is the next to be used. Slots are part of what
// a snapshot holds, free ones too, so that a replay numbers them alike.
type segmentTable struct {
	slab cow.Slab[segmentEntry]
	free uint32
	used int

	stored []stored // by the share's word; it follows from the entries
}

// stored is what lies in a share's bucket.
type stored struct{ bytes, objects int64 }

// store counts an entry that has come (1) or goes (-1).
func (t *segmentTable) store(g *segmentEntry, sign int64) {
	for int(g.share) >= len(t.stored) {
		t.stored = append(t.stored, stored{})
	}
	t.stored[g.share].bytes += sign * int64(g.size)
	t.stored[g.share].objects += sign
}

func (t *segmentTable) storedOf(share uint16) (v stored) {
	if int(share) < len(t.stored) {
		v = t.stored[share]
	}
	return v
}

func (t *segmentTable) at(slot uint32) *segmentEntry { return t.slab.At(slot) }

func (t *segmentTable) add(e segmentEntry) uint32 {
	e.used = true
	t.used++
	t.store(&e, 1)
	if t.free == cow.None {
		return t.slab.Append(e)
	}
	slot := t.free
	t.free = t.slab.At(slot).next
	*t.slab.Mut(slot) = e
	return slot
}

func (t *segmentTable) remove(slot uint32) {
	t.store(t.slab.At(slot), -1)
	*t.slab.Mut(slot) = segmentEntry{next: t.free}
	t.free = slot
	t.used--
}

// DeadObject is a stored object that nothing refers to any more. The jobs role will delete it;
// until then it is known, so that a sweep can tell it from an object of unknown fate.
type DeadObject struct {
	Object segment.Object
	Size   uint32 // 0 for the loser of a hedge, which may not exist
	Since  int64  // state time at which the last reference went
}

func (s *State) object(g *segmentEntry) segment.Object {
	return segment.Object{
		Share: s.words[g.share],
		Group: s.words[g.group],
		ID:    segment.ID{Incarnation: g.incarnation, Session: g.session, Sequence: g.sequence},
		Nonce: g.nonce,
	}
}

// shrinkSegment takes an entry's bytes from its segment; without any left it is dead.
func (s *State) shrinkSegment(slot uint32, length uint32) {
	g := s.segments.slab.Mut(slot)
	g.live -= int64(length)
	s.liveBytes -= int64(length)
	if g.live > 0 {
		return
	}
	s.bereave(DeadObject{Object: s.object(g), Size: g.size, Since: s.time})
	s.segments.remove(slot)
}

// bereave queues an object for deletion. A full queue forgets its oldest: such an object is
// found again by the sweep, which lists the bucket and asks for what is neither in the segment
// table nor here.
func (s *State) bereave(o DeadObject) {
	s.nextDead++
	s.dead.Set(s.nextDead, o)
	for s.dead.Len() > s.limits.MaxDeadObjects {
		s.dead.PopMin()
	}
}
