package server

import (
	"fmt"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

func partitionOf(p *controlpb.Partition) (topic.Partition, error) {
	if len(p.GetTopicId()) != len(topic.ID{}) {
		return topic.Partition{}, fmt.Errorf("%w: topic id of %d B, it has 16", errInvalid, len(p.GetTopicId()))
	}
	return topic.Partition{Topic: topic.ID(p.GetTopicId()), Index: p.GetIndex()}, nil
}

// objects gathers the objects of one message, so that each is spelled out once.
type objects struct {
	list []*controlpb.Object
	at   map[segment.Object]uint32
}

func (o *objects) place(l *segment.Location) uint32 {
	if at, ok := o.at[l.Object]; ok {
		return at
	}
	if o.at == nil {
		o.at = map[segment.Object]uint32{}
	}
	at := uint32(len(o.list))
	o.at[l.Object] = at
	o.list = append(o.list, &controlpb.Object{
		Share: l.Object.Share, Group: l.Object.Group, Incarnation: l.Object.ID.Incarnation,
		Session: l.Object.ID.Session, Sequence: l.Object.ID.Sequence,
		Nonce: append([]byte(nil), l.Object.Nonce[:]...), Size: l.Size,
	})
	return at
}

// extents encodes locations. One message has thousands: they are made as one array, and so are the others of a message.
func (o *objects) extents(ls []segment.Location) []*controlpb.Extent {
	if len(ls) == 0 {
		return nil
	}
	out, all := make([]*controlpb.Extent, len(ls)), make([]controlpb.Extent, len(ls))
	for i := range ls {
		o.extent(&all[i], &ls[i])
		out[i] = &all[i]
	}
	return out
}

func (o *objects) extent(x *controlpb.Extent, l *segment.Location) {
	x.Base, x.Records, x.Object, x.Position, x.Length = int64(l.Base), l.Records, o.place(l), l.Position, l.Length
	x.MaxTimestamp, x.Stamped = l.MaxTimestamp, l.Stamped
}

func encodeEvents(events []segment.Event) *controlpb.WatchResponse {
	var o objects
	locations := 0
	for i := range events {
		locations += len(events[i].Locations)
	}
	m := &controlpb.WatchResponse{Events: make([]*controlpb.WatchEvent, len(events))}
	all, partitions := make([]controlpb.WatchEvent, len(events)), make([]controlpb.Partition, len(events))
	extents, places := make([]controlpb.Extent, locations), make([]*controlpb.Extent, locations)
	for i := range events {
		e, out, p := &events[i], &all[i], &partitions[i]
		p.TopicId, p.Index = e.Partition.Topic[:], e.Partition.Index
		out.Partition, out.Removed, out.Reset_ = p, e.Removed, e.Reset
		out.LogStart, out.HighWatermark = int64(e.LogStart), int64(e.HighWatermark)
		if n := len(e.Locations); n > 0 {
			out.Extents = places[:n:n]
			for j := range e.Locations {
				o.extent(&extents[j], &e.Locations[j])
				places[j] = &extents[j]
			}
			extents, places = extents[n:], places[n:]
		}
		m.Events[i] = out
	}
	m.Objects = o.list
	return m
}

func encodeReply(r segment.Reply) *controlpb.CommitResponse {
	m := &controlpb.CommitResponse{
		Session: r.Session, Share: r.Share, Sequence: r.Sequence, Outcome: uint32(r.Outcome), Last: r.Last,
	}
	if len(r.Answers) > 0 {
		m.Answers = segment.AppendAnswers(nil, r.Answers)
	}
	return m
}

func encodeTopic(f topic.Found) *controlpb.Topic {
	t := &controlpb.Topic{Error: int32(f.Code), Name: f.Topic.Name}
	if !f.Topic.ID.IsZero() {
		t.Id = append([]byte(nil), f.Topic.ID[:]...)
	}
	if f.Code == 0 {
		t.Partitions, t.Share, t.Internal, t.Config = f.Topic.Partitions, f.Topic.Share, f.Topic.Internal, f.Topic.Overrides
	}
	return t
}
