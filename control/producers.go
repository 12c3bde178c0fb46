package control

import (
	"math"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/cow"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// windowLen is how many batches of a producer are remembered in a partition. Kafka's clients keep
// at most five in flight for this reason.
const windowLen = 5

// firstProducer is the first producer id that is given out.
const firstProducer = 1

// producerKey names what one producer does in one partition, by the partition's number.
type producerKey struct {
	id        int64
	partition uint64
}

// batch is one placed batch of a window.
type batch struct {
	first  int32
	last   int32
	offset int64
}

// producer is what is known of a producer id in a partition. It is provisional until a batch is
// placed: then it only says since when there has been a gap, or that UNKNOWN_PRODUCER_ID (59) was
// answered once.
type producer struct {
	links    cow.Links
	key      producerKey
	elder    uint32 // the places of the same id before and after this one, or cow.None
	sibling  uint32
	at       int64 // state time of its last batch, placed or not
	gap      bool  // refused for a gap, and nothing placed since
	gapEpoch int16 // of the gap: in a later epoch it is another one
	gapSince int64 // the first refusal of it
	known    bool  // a batch was placed: epoch and last count
	epoch    int16
	n        uint8 // batches in the window; 0 after it expired
	last     int32 // sequence
	window   [windowLen]batch
}

// Chain lets producers stand in a list.
func (p *producer) Chain() *cow.Links { return &p.links }

// idEntry is what is known of a producer id in all partitions. As long as the id is seen in any
// of them, epoch and last sequence are kept in all.
type idEntry struct {
	links cow.Links
	id    int64
	at    int64  // state time of its last batch anywhere
	first uint32 // place of one of its producers; the others follow as siblings
	n     int32  // producers
	known int32  // those that are not provisional
	epoch int16  // the highest of a placed batch
}

// Chain lets ids stand in a list.
func (e *idEntry) Chain() *cow.Links { return &e.links }

// mintMark says that producer ids below next had been given out by a time. There is one for each
// minute in which any was.
type mintMark struct {
	at   int64
	next int64
}

const minute = 60_000

// verdict is what becomes of a batch with a producer id.
type verdict struct {
	verdict segment.Verdict
	code    int16
	offset  int64
}

func refusal(code int16) verdict { return verdict{segment.Refused, code, -1} }

// sequence decides on a batch of an idempotent producer, and remembers it if it is to be placed at
// end. Every answer it may give stands in the table "A row" of docs/architecture/control.md.
//
// An id that this cluster never gave out is 59 at once, whatever its sequence: its client then
// asks for a new one. Nothing is remembered of it, for ids can be made up without end. Nor is anything
// of an id of another group of agents, which is 31: nobody can go on, or stand in the way, in its name.
func (s *State) sequence(partition uint64, group uint16, b segment.Producer, end int64) verdict {
	switch {
	case !s.given(b.ID):
		return refusal(codeUnknownProducer)
	case foreign(b.ID, group):
		return refusal(codeClusterDenied)
	}
	key := producerKey{id: b.ID, partition: partition}
	place, ok := s.producerAt[key]
	if !ok {
		return s.firstBatch(key, group, b, end)
	}
	p := s.producers.Mut(place)
	if passed(s.clock(), p.at, s.limits.ProducerExpiration) {
		p.n = 0
	}
	s.touch(place)
	switch {
	case !p.known || b.Epoch > p.epoch:
		if b.First == 0 {
			return s.accept(p, b, end)
		}
		return s.gap(p, b.Epoch)
	case b.Epoch < p.epoch:
		return refusal(codeNotEnoughReplicas) // a client that has just bumped retries under its new epoch
	}
	return s.sameEpoch(p, b, end)
}

// firstBatch decides where nothing is known of the producer in this partition.
func (s *State) firstBatch(key producerKey, group uint16, b segment.Producer, end int64) verdict {
	known := false
	i, seen := s.idAt[b.ID]
	if seen {
		known = s.producerIDs.At(i).known > 0
	}
	if !seen && !s.roomForID(group, false) || !s.roomForProducer(true) {
		return refusal(codeNotEnoughReplicas)
	}
	if !seen {
		s.roomForID(group, true)
	}
	p := s.addProducer(key)
	switch {
	case b.First == 0:
		return s.accept(p, b, end)
	case !known && s.old(b.ID):
		return refusal(codeUnknownProducer)
	}
	return s.gap(p, b.Epoch)
}

// sameEpoch compares a batch with what was placed before it.
func (s *State) sameEpoch(p *producer, b segment.Producer, end int64) verdict {
	from := distance(p.last, b.First) - 1 // 0: the very next
	to := distance(p.last, b.Last) - 1
	switch {
	case from == 0:
		return s.accept(p, b, end)
	case from > 0:
		return s.gap(p, b.Epoch)
	case to >= 0:
		return refusal(codeSequenceGap)
	}
	return p.repeated(b)
}

// repeated answers a batch that ends at or below the last one placed.
func (p *producer) repeated(b segment.Producer) verdict {
	to := distance(p.last, b.Last) - 1
	for _, w := range p.window[:p.n] {
		if w.first == b.First && w.last == b.Last {
			return verdict{segment.Duplicate, 0, w.offset}
		}
	}
	if p.n > 0 && to >= distance(p.last, p.window[0].first)-1 {
		return refusal(codeSequenceGap) // overlaps the window without being one of its batches
	}
	return verdict{segment.Duplicate, codeSequenceOld, -1}
}

// repeated answers a batch while nothing can be placed: as sequence does if it was placed before,
// else with 19. It remembers nothing.
func (s *State) repeated(partition uint64, b segment.Producer) verdict {
	place, ok := s.producerAt[producerKey{id: b.ID, partition: partition}]
	if !ok {
		return refusal(codeNotEnoughReplicas)
	}
	p := s.producers.At(place)
	if !p.known || b.Epoch != p.epoch || distance(p.last, b.Last) > 0 || passed(s.clock(), p.at, s.limits.ProducerExpiration) {
		return refusal(codeNotEnoughReplicas)
	}
	return p.repeated(b)
}

// distance is how far sequence b lies above a, negative below; sequences wrap from 2^31-1 to 0.
func distance(a, b int32) int64 {
	d := (int64(b) - int64(a)) & math.MaxInt32
	if d > math.MaxInt32/2 {
		d -= math.MaxInt32 + 1
	}
	return d
}

// accept records a batch placed at offset; it ends any gap.
func (s *State) accept(p *producer, b segment.Producer, offset int64) verdict {
	id := s.producerIDs.Mut(s.idAt[b.ID])
	if !p.known {
		id.known++
	}
	id.epoch = max(id.epoch, b.Epoch)
	if !p.known || b.Epoch > p.epoch {
		p.n = 0
	}
	p.known, p.epoch, p.last, p.gap = true, b.Epoch, b.Last, false
	if p.n == windowLen {
		copy(p.window[:], p.window[1:])
		p.n--
	}
	p.window[p.n] = batch{first: b.First, last: b.Last, offset: offset}
	p.n++
	return verdict{segment.Placed, 0, offset}
}

// gap refuses a batch whose predecessor is missing. Clients read 45 as "the earlier batch is
// dead", so it is not said while that batch may still be uploading at another agent: only after
// the gap has stood for a while, of which the time before an election does not count. A client that
// was told 45 goes on in the next epoch: what is missing there is another batch, which has as long.
func (s *State) gap(p *producer, epoch int16) verdict {
	switch {
	case !p.gap || epoch > p.gapEpoch:
		p.gap, p.gapEpoch, p.gapSince = true, epoch, s.time
		return refusal(codeNotEnoughReplicas)
	case epoch < p.gapEpoch:
		return refusal(codeNotEnoughReplicas) // as any epoch that its client has left
	}
	if passed(s.time, max(p.gapSince, s.electedAt), s.limits.GapPatience) {
		return refusal(codeSequenceGap)
	}
	return refusal(codeNotEnoughReplicas)
}

// old says whether an id was given out longer ago than producers are remembered.
func (s *State) old(id int64) bool {
	horizon := s.clock() - s.limits.ProducerExpiration.Milliseconds()
	for _, m := range s.marks {
		if m.at > horizon {
			break
		}
		if numberOf(id) < m.next {
			return true
		}
	}
	return false
}

// touch notes that a producer was seen just now.
func (s *State) touch(place uint32) {
	p := s.producers.Mut(place)
	if p.at == s.time {
		return // it is among the last already
	}
	p.at = s.time
	s.producers.Touch(place)
	i := s.idAt[p.key.id]
	s.producerIDs.Mut(i).at = s.time
	s.producerIDs.Touch(i)
	s.ownIDs.touch(i, p.key.id)
}

// roomForProducer says whether one more producer can be remembered, and with evict makes the
// room: only a producer idle for long gives way, the one that rested longest.
func (s *State) roomForProducer(evict bool) bool {
	if s.producers.Len() < s.limits.MaxProducers {
		return true
	}
	first := s.producers.First()
	if first == cow.None || !passed(s.clock(), s.producers.At(first).at, s.limits.ProducerIdle) {
		return false
	}
	if evict {
		s.evictProducer(first)
	}
	return true
}

func (s *State) addProducer(key producerKey) *producer {
	i, ok := s.idAt[key.id]
	if !ok {
		i = s.producerIDs.Push(idEntry{id: key.id, first: cow.None})
		s.idAt[key.id] = i
		s.ownIDs.push(i, key.id)
	} else {
		s.producerIDs.Touch(i)
		s.ownIDs.touch(i, key.id)
	}
	id := s.producerIDs.Mut(i)
	place := s.producers.Push(producer{key: key, elder: cow.None, sibling: id.first, at: s.time})
	if id.first != cow.None {
		s.producers.Mut(id.first).elder = place
	}
	id.at, id.first = s.time, place
	id.n++
	s.producerAt[key] = place
	return s.producers.Mut(place)
}

// evictProducer forgets a producer, and its id when that was the last one of it.
func (s *State) evictProducer(place uint32) {
	p := *s.producers.At(place)
	i := s.idAt[p.key.id]
	id := s.producerIDs.Mut(i)
	if p.elder == cow.None {
		id.first = p.sibling
	} else {
		s.producers.Mut(p.elder).sibling = p.sibling
	}
	if p.sibling != cow.None {
		s.producers.Mut(p.sibling).elder = p.elder
	}
	id.n--
	if p.known {
		id.known--
	}
	delete(s.producerAt, p.key)
	s.producers.Remove(place)
	if id.n == 0 {
		s.dropID(i, p.key.id)
	}
}

// nextProducerExpiry is when the id unseen for longest is to be forgotten, or never.
func (s *State) nextProducerExpiry() int64 {
	first := s.producerIDs.First()
	if first == cow.None {
		return never
	}
	return s.producerIDs.At(first).at + s.limits.ProducerExpiration.Milliseconds()
}

// forgetProducer drops an id with all that is known of it, and returns how much that was.
func (s *State) forgetProducer(i uint32) (done int) {
	id := *s.producerIDs.At(i)
	for place := id.first; place != cow.None; done++ {
		p := *s.producers.At(place)
		delete(s.producerAt, p.key)
		s.producers.Remove(place)
		place = p.sibling
	}
	s.dropID(i, id.id)
	return done
}

func (s *State) dropID(place uint32, id int64) {
	delete(s.idAt, id)
	s.ownIDs.remove(place, id)
	s.producerIDs.Remove(place)
}

// maxEpoch is the last epoch a producer id is used with; after it comes a new id. One is left
// above it, as in Kafka, for fencing.
const maxEpoch = math.MaxInt16 - 1

// initProducer gives out a producer id, or the next epoch of one.
//
// A client that recovers names its id and epoch. It gets the epoch after it, unless a batch of a
// later one has been placed: then another client goes on in its name, and it is told 47. The
// answer may have been lost, so that asking again gives the same epoch. An id never given out, or
// at its last epoch, is replaced by a new one. The id of another group of agents is not to be had.
func (s *State) initProducer(c *controlpb.InitProducerCommand, r *Result) {
	id, epoch := c.GetProducerId(), c.GetEpoch()
	r.ProducerID, r.ProducerEpoch = segment.NoProducer, -1
	var group uint16
	named := c.GetGroup() != "" // commands from before groups had ids name none
	if named {
		var room bool
		if group, room = s.word(c.GetGroup()); !room {
			r.refuse(refuse(codePolicy, "there are as many groups and shares as the cluster may have (%d)", s.limits.MaxNames))
			return
		}
	}
	if _, owned := ownerOf(id); owned && (!named || foreign(id, group)) && s.given(id) {
		r.refuse(refuse(codeClusterDenied, "producer id %d is another group's", id))
		return
	}
	if s.given(id) && epoch >= 0 && epoch < maxEpoch {
		if i, ok := s.idAt[id]; ok && s.producerIDs.At(i).known > 0 && s.producerIDs.At(i).epoch > int16(epoch) {
			r.Code = codeProducerEpoch
			return
		}
		r.ProducerID, r.ProducerEpoch = id, int16(epoch)+1
		return
	}
	switch {
	case named && !s.roomForID(group, false):
		r.refuse(refuse(codeLoading, "group %q has as many producer ids as its quota allows (%d), and none has been idle for %s", c.GetGroup(), s.ProducerIDs(c.GetGroup()), s.limits.ProducerIdle))
		return
	case !s.roomForProducer(false), s.nextProducer >= mostIDs:
		r.Code = codeLoading
		return
	}
	r.ProducerID, r.ProducerEpoch = s.nextProducer, 0
	if named {
		r.ProducerID = ownedID(s.nextProducer, group)
	}
	s.nextProducer++
	s.mark()
}

// mark remembers when ids were given out, to the minute, for as long as that matters.
func (s *State) mark() {
	if n := len(s.marks); n > 0 && s.marks[n-1].at/minute == s.time/minute {
		s.marks[n-1] = mintMark{at: s.time, next: s.nextProducer}
		return
	}
	horizon := s.clock() - s.limits.ProducerExpiration.Milliseconds()
	for len(s.marks) > 1 && s.marks[1].at <= horizon {
		s.marks = s.marks[1:]
	}
	s.marks = append(s.marks, mintMark{at: s.time, next: s.nextProducer})
}
