package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// OffsetForLeaderEpoch, key 23, versions 0 to 4: tunnelled. The epoch is the cluster's incarnation;
// only a restore ends one, and then the answer shows clients where their log was cut.
func (b *broker) offsetForLeaderEpoch() wire.API {
	return b.tunnelled(kmsg.OffsetForLeaderEpoch, 0, 4, kerr.LeaderNotAvailable.Code, awayOffsetForLeaderEpoch)
}

func awayOffsetForLeaderEpoch(r kmsg.Request, f fault) kmsg.Response {
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for _, t := range r.(*kmsg.OffsetForLeaderEpochRequest).Topics {
		rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, f.code
			rp.LeaderEpoch, rp.EndOffset = -1, -1
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
