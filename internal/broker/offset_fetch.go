package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// OffsetFetch, key 9, versions 0 to 9: tunnelled; an unknown group has offset -1 everywhere and no
// error. Version 8 asks for several groups. Left out: version 10 (topic ids).
func (b *broker) offsetFetch() wire.API {
	return b.tunnelled(kmsg.OffsetFetch, 0, 9, kerr.CoordinatorNotAvailable.Code, awayOffsetFetch)
}

// awayOffsetFetch says it per group from version 8, at the top from version 2, and per partition
// before that, where nothing else has room.
func awayOffsetFetch(r kmsg.Request, f fault) kmsg.Response {
	req := r.(*kmsg.OffsetFetchRequest)
	resp := kmsg.NewPtrOffsetFetchResponse()
	resp.ErrorCode = f.code
	for _, g := range req.Groups {
		rg := kmsg.NewOffsetFetchResponseGroup()
		rg.Group, rg.ErrorCode = g.Group, f.code
		resp.Groups = append(resp.Groups, rg)
	}
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetFetchResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetFetchResponseTopicPartition()
			rp.Partition, rp.Offset, rp.LeaderEpoch = p, -1, -1
			rp.Metadata, rp.ErrorCode = ptr(""), f.code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
