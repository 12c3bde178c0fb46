package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// OffsetCommit, key 8, versions 0 to 9: tunnelled; it is answered after the control plane has the
// commit in its log. Left out: version 10 (topic ids).
func (b *broker) offsetCommit() wire.API {
	return b.tunnelled(kmsg.OffsetCommit, 0, 9, kerr.CoordinatorNotAvailable.Code, awayOffsetCommit)
}

func awayOffsetCommit(r kmsg.Request, f fault) kmsg.Response {
	resp := kmsg.NewPtrOffsetCommitResponse()
	for _, t := range r.(*kmsg.OffsetCommitRequest).Topics {
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, f.code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
