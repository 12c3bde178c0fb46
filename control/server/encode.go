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

func (o *objects) extent(l *segment.Location) *controlpb.Extent {
	return &controlpb.Extent{
		Base: int64(l.Base), Records: l.Records, Object: o.place(l), Position: l.Position, Length: l.Length,
		MaxTimestamp: l.MaxTimestamp, Stamped: l.Stamped,
	}
}

func (o *objects) extents(ls []segment.Location) []*controlpb.Extent {
	if len(ls) == 0 {
		return nil
	}
	out := make([]*controlpb.Extent, len(ls))
	for i := range ls {
		out[i] = o.extent(&ls[i])
	}
	return out
}

func encodeEvents(events []segment.Event) *controlpb.WatchResponse {
	var o objects
	m := &controlpb.WatchResponse{Events: make([]*controlpb.WatchEvent, len(events))}
	for i := range events {
		e := &events[i]
		m.Events[i] = &controlpb.WatchEvent{
			Partition: &controlpb.Partition{TopicId: append([]byte(nil), e.Partition.Topic[:]...), Index: e.Partition.Index},
			Removed:   e.Removed, Reset_: e.Reset, LogStart: int64(e.LogStart), HighWatermark: int64(e.HighWatermark),
			Extents: o.extents(e.Locations),
		}
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
