package control

import (
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Retention drops whole entries from the front of a partition and moves its log start up.
//
// By time it goes by when a segment was committed, never by what producers wrote into their
// records. By size it goes by bytes as stored, and keeps at least retention.bytes: like Kafka, it
// drops an entry only while the rest is still that large.

// dueOfPartition is when the oldest entry is to be dropped: 0 for at once, or never.
func (s *State) dueOfPartition(p *partition, t *topicEntry) int64 {
	if p.entries == 0 {
		return never
	}
	c := &t.topic.Config
	first := p.entry(&s.blocks, 0)
	if c.RetentionBytes >= 0 && p.bytes-int64(first.length) >= c.RetentionBytes {
		return 0
	}
	committed := s.segments.at(first.segment).committed
	if c.RetentionMs < 0 || c.RetentionMs > never-committed {
		return never
	}
	return committed + c.RetentionMs
}

// replan writes the partition's next retention into the agenda.
func (s *State) replan(place uint32, t *topicEntry) {
	p := s.partitions.At(place)
	at := s.dueOfPartition(p, t)
	if at == p.due {
		return
	}
	if p.due != never {
		s.agenda.Delete(due{at: p.due, kind: dueRetention, number: p.number})
	}
	s.partitions.Mut(place).due = at
	if at != never {
		s.agenda.Set(due{at: at, kind: dueRetention, number: p.number, place: place})
	}
}

// retain drops what is due of one partition, at most work entries, and returns how many.
func (s *State) retain(place uint32, work int, r *Result) (done int) {
	p := s.partitions.Mut(place)
	t := s.topicByID[p.topic]
	for done < work && s.dueOfPartition(p, t) <= s.time {
		s.dropFirst(p)
		done++
	}
	p.logStart = p.end
	if p.entries > 0 {
		p.logStart = p.entry(&s.blocks, 0).base
	}
	s.replan(place, t)
	r.Events = append(r.Events, segment.Event{
		Partition:     topic.Partition{Topic: p.topic, Index: p.index},
		LogStart:      topic.Offset(p.logStart),
		HighWatermark: topic.Offset(p.end),
	})
	return max(done, 1)
}

// bury frees entries of the partition that has been dying longest, at most work of them, and
// returns how many steps it took.
func (s *State) bury(work int) (done int) {
	place := s.dying[0]
	p := s.partitions.Mut(place)
	for done < work && p.entries > 0 {
		s.dropFirst(p)
		done++
	}
	if p.entries == 0 {
		s.partitions.Remove(place)
		s.dying = s.dying[1:]
	}
	return max(done, 1)
}
