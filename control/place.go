package control

import (
	"math"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/cow"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// placing gives the rows of one segment their places.
//
// Rows come sorted by partition. Placed rows that touch, in bytes as in offsets, become one entry
// up to MaxExtentBytes; a refused row is a hole in the bytes, with an entry on either side and
// nothing missing between their offsets.
type placing struct {
	state   *State
	commit  *controlpb.CommitRequest
	session *session
	binding *binding // of the session; nil: open
	share   uint16
	group   uint16
	size    uint32
	slot    uint32 // of the segment; set once a row is placed
	placed  bool
	events  []segment.Event

	// The topic that was asked about last, whose partitions stand together, and whether it is granted.
	asked   *topicEntry
	granted bool

	// The partition whose rows are being placed.
	at   topic.Partition
	open bool
	code int16 // refuses every row of it; 0: they are placed
	to   uint32
	topc *topicEntry
	p    *partition
	now  extent // placed, not yet an entry; without records: none
	news []segment.Location
}

func (pl *placing) place(rows []segment.Row) []segment.Answer {
	answers := make([]segment.Answer, len(rows))
	for i := range rows {
		r := &rows[i]
		if !pl.open || r.Partition != pl.at {
			pl.close()
			pl.turnTo(r.Partition)
		}
		answers[i] = pl.row(r)
	}
	pl.close()
	pl.settle()
	return answers
}

// turnTo begins the rows of a partition, finding out whether they may be placed at all.
func (pl *placing) turnTo(at topic.Partition) {
	s := pl.state
	pl.at, pl.open, pl.code, pl.p, pl.news = at, true, 0, nil, nil
	t, known := s.topicByID[at.Topic]
	switch {
	case at.Topic == offsetsTopic().ID:
		pl.code = codeInvalidTopic
		return
	case !known || int(at.Index) >= len(t.places):
		pl.code = codeUnknownPartition
		return
	}
	if t != pl.asked {
		pl.asked = t
		pl.granted = t.topic.Share == pl.commit.GetShare() && s.mayPlace(pl.session, pl.binding, t)
	}
	if !pl.granted {
		pl.code = codeTopicDenied
		return
	}
	pl.to, pl.topc = t.places[at.Index], t
	pl.p = s.partitions.Mut(pl.to)
}

// row answers one row.
func (pl *placing) row(r *segment.Row) segment.Answer {
	p := pl.p
	if p == nil {
		return segment.Answer{Verdict: segment.Refused, Code: pl.code, Offset: topic.NoOffset, LogStart: topic.NoOffset}
	}
	logStart := topic.Offset(p.logStart)
	refused := func(code int16) segment.Answer {
		return segment.Answer{Verdict: segment.Refused, Code: code, Offset: topic.NoOffset, LogStart: logStart}
	}
	end := p.end + int64(pl.now.records) // what is placed but not yet an entry counts
	a := segment.Answer{Verdict: segment.Placed, Offset: topic.Offset(end), LogStart: logStart}
	switch {
	case pl.code != 0:
		return refused(pl.code)
	case end > math.MaxInt64-int64(r.Records):
		return refused(codePolicy) // only an agent that lies about its records comes here
	case r.Producer.ID == segment.NoProducer && pl.full():
		return refused(codeNotEnoughReplicas)
	case r.Producer.ID != segment.NoProducer:
		v := pl.sequence(r, end)
		if v.verdict == segment.Refused {
			return refused(v.code)
		}
		a.Verdict, a.Code, a.Offset = v.verdict, v.code, topic.Offset(v.offset)
	}
	if a.Verdict == segment.Placed {
		pl.add(r, end)
	}
	return a
}

// sequence decides on a row with a producer id. In a full index nothing is placed, and no gap
// begins, but a batch that was placed before is told so.
func (pl *placing) sequence(r *segment.Row, end int64) verdict {
	if pl.full() && !foreign(r.Producer.ID, pl.group) {
		return pl.state.repeated(pl.p.number, r.Producer)
	}
	return pl.state.sequence(pl.p.number, pl.group, r.Producer, end)
}

// full says whether the index has no room for one more entry.
func (pl *placing) full() bool {
	s, entries := pl.state, pl.state.entries
	if pl.now.records > 0 {
		entries++
	}
	return entries >= int64(s.limits.MaxIndexEntries) || (!pl.placed && s.segments.used >= s.limits.MaxSegments)
}

// add gives a row the offsets from end on.
func (pl *placing) add(r *segment.Row, end int64) {
	if !pl.placed {
		pl.placed = true
		pl.slot = pl.state.segments.add(pl.segment())
	}
	e := &pl.now
	if e.records > 0 && e.position+e.length == r.Position &&
		int64(e.length)+int64(r.Length) <= pl.state.limits.MaxExtentBytes && r.Records <= math.MaxInt32-e.records {
		e.length += r.Length
		e.records += r.Records
		e.maxTime = max(e.maxTime, r.MaxTimestamp)
		return
	}
	pl.flush()
	pl.now = extent{
		base: end, maxTime: r.MaxTimestamp, segment: pl.slot,
		position: r.Position, length: r.Length, records: r.Records,
	}
}

// flush makes an entry of what was placed last.
func (pl *placing) flush() {
	e := pl.now
	if e.records == 0 {
		return
	}
	s := pl.state
	pl.now = extent{}
	s.append(pl.p, e)
	s.segments.slab.Mut(pl.slot).live += int64(e.length)
	s.liveBytes += int64(e.length)
	pl.news = append(pl.news, s.location(pl.p, &e))
}

// close ends the rows of a partition: its watchers hear of it, and its retention is planned.
func (pl *placing) close() {
	if !pl.open || pl.p == nil {
		return
	}
	pl.flush()
	if len(pl.news) == 0 {
		return
	}
	pl.events = append(pl.events, segment.Event{
		Partition:     pl.at,
		LogStart:      topic.Offset(pl.p.logStart),
		HighWatermark: topic.Offset(pl.p.end),
		Locations:     pl.news,
	})
	pl.state.replan(pl.to, pl.topc)
}

// settle queues what was uploaded for nothing: the losers of hedges, and the segment itself if
// none of its rows was placed.
func (pl *placing) settle() {
	s := pl.state
	o := s.object(&segmentEntry{share: pl.share, group: pl.group, incarnation: s.limits.Meta.Incarnation,
		session: pl.commit.GetSession(), sequence: pl.commit.GetSequence()})
	if !pl.placed {
		o.Nonce = segment.Nonce(pl.commit.GetNonce())
		s.bereave(DeadObject{Object: o, Size: pl.size, Since: s.time})
	}
	for _, loser := range pl.commit.GetLosers() {
		o.Nonce = segment.Nonce(loser)
		s.bereave(DeadObject{Object: o, Since: s.time})
	}
}

func (pl *placing) segment() segmentEntry {
	return segmentEntry{
		nonce: segment.Nonce(pl.commit.GetNonce()), share: pl.share, group: pl.group,
		incarnation: pl.state.limits.Meta.Incarnation, size: pl.size, next: cow.None,
		session: pl.commit.GetSession(), sequence: pl.commit.GetSequence(), committed: pl.state.time,
	}
}
