package client

import (
	"fmt"
	"maps"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

func partition(p topic.Partition) *controlpb.Partition {
	return &controlpb.Partition{TopicId: append([]byte(nil), p.Topic[:]...), Index: p.Index}
}

func partitions(ps []topic.Partition) []*controlpb.Partition {
	out := make([]*controlpb.Partition, len(ps))
	for i, p := range ps {
		out[i] = partition(p)
	}
	return out
}

// object is one line of an answer's list of objects.
type object struct {
	segment.Object
	size uint32
}

func objects(in []*controlpb.Object) ([]object, error) {
	out := make([]object, len(in))
	for i, o := range in {
		if len(o.GetNonce()) != len(segment.Nonce{}) {
			return nil, fmt.Errorf("%w: nonce of %d B", ErrInternal, len(o.GetNonce()))
		}
		out[i] = object{segment.Object{
			Share: o.GetShare(), Group: o.GetGroup(), Nonce: segment.Nonce(o.GetNonce()),
			ID: segment.ID{Incarnation: o.GetIncarnation(), Session: o.GetSession(), Sequence: o.GetSequence()},
		}, o.GetSize()}
	}
	return out, nil
}

func locations(p topic.Partition, extents []*controlpb.Extent, objects []object) ([]segment.Location, error) {
	if len(extents) == 0 {
		return nil, nil
	}
	out := make([]segment.Location, len(extents))
	for i, e := range extents {
		if int64(e.GetObject()) >= int64(len(objects)) {
			return nil, fmt.Errorf("%w: extent names object %d of %d", ErrInternal, e.GetObject(), len(objects))
		}
		in := objects[e.GetObject()]
		if uint64(e.GetPosition())+uint64(e.GetLength()) > uint64(in.size) || e.GetBase() < 0 {
			return nil, fmt.Errorf("%w: extent at %d of %d B is outside object %s of %d B", ErrInternal, e.GetPosition(), e.GetLength(), in.ID, in.size)
		}
		out[i] = segment.Location{
			Partition: p, Base: topic.Offset(e.GetBase()), Records: e.GetRecords(), Object: in.Object, Size: in.size,
			Position: e.GetPosition(), Length: e.GetLength(), MaxTimestamp: e.GetMaxTimestamp(), Stamped: e.GetStamped(),
		}
	}
	return out, nil
}

func partitionOf(p *controlpb.Partition) (topic.Partition, error) {
	if len(p.GetTopicId()) != len(topic.ID{}) {
		return topic.Partition{}, fmt.Errorf("%w: topic id of %d B", ErrInternal, len(p.GetTopicId()))
	}
	return topic.Partition{Topic: topic.ID(p.GetTopicId()), Index: p.GetIndex()}, nil
}

func topicFound(t *controlpb.Topic) (topic.Found, error) {
	f := topic.Found{Code: int16(t.GetError()), Topic: topic.Topic{
		Name: t.GetName(), Partitions: t.GetPartitions(), Share: t.GetShare(), Internal: t.GetInternal(), Overrides: maps.Clone(t.GetConfig()),
	}}
	if len(t.GetId()) == len(topic.ID{}) {
		f.Topic.ID = topic.ID(t.GetId())
	} else if f.Code == 0 {
		return topic.Found{}, fmt.Errorf("%w: topic id of %d B", ErrInternal, len(t.GetId()))
	}
	if f.Code != 0 {
		return f, nil
	}
	config, err := topic.ParseConfig(t.GetConfig())
	if err != nil {
		return topic.Found{}, fmt.Errorf("%w: %w", ErrInternal, err)
	}
	f.Topic.Config = config
	return f, nil
}
