package tunnel

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// OffsetForLeaderEpoch, key 23, versions 0 to 4.
//
// Every partition's leader epoch is the incarnation of the cluster. Asked for the
// current one, the answer is its log end. Asked for an earlier one, it is the
// epoch and end at which a restore closed it, so that a consumer notices what a
// restore took away, and nothing else: without a restore in between there is no
// earlier epoch, and the answer is the log end, which no consumer is beyond. Asked
// for a later one, it is "not known" (-1, -1). A current leader epoch (v2+) that
// is behind is answered 74, one that is ahead 75.
func offsetForLeaderEpochAPI() api {
	return api{key: 23, min: 0, max: 4, serve: (*Tunnel).offsetForLeaderEpoch}
}

func (t *Tunnel) offsetForLeaderEpoch(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.OffsetForLeaderEpochRequest)
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	err := t.backend.View(ctx, func(s *control.State) {
		for _, rt := range req.Topics {
			at := kmsg.NewOffsetForLeaderEpochResponseTopic()
			at.Topic = rt.Topic
			tp, known := s.TopicByName(rt.Topic)
			for _, rp := range rt.Partitions {
				ap := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				ap.Partition, ap.LeaderEpoch, ap.EndOffset = rp.Partition, -1, -1
				switch {
				case !known || !t.shows(s, c, tp) || rp.Partition < 0 || rp.Partition >= tp.Partitions:
					ap.ErrorCode = codeUnknownTopicOrPartition
				case t.askTopic(s, c, tp) != nil:
					ap.ErrorCode = codeTopicDenied
				default:
					endOfEpoch(s, topic.Partition{Topic: tp.ID, Index: rp.Partition}, req.Version, rp, &ap)
				}
				at.Partitions = append(at.Partitions, ap)
			}
			resp.Topics = append(resp.Topics, at)
		}
	})
	return resp, err
}

func endOfEpoch(s *control.State, p topic.Partition, version int16, asked kmsg.OffsetForLeaderEpochRequestTopicPartition, answer *kmsg.OffsetForLeaderEpochResponseTopicPartition) {
	now := int32(s.Meta().Incarnation)
	if known := asked.CurrentLeaderEpoch; version >= 2 && known >= 0 && known != now {
		answer.ErrorCode = codeFencedLeaderEpoch
		if known > now {
			answer.ErrorCode = codeUnknownLeaderEpoch
		}
		return
	}
	if asked.LeaderEpoch < 0 || asked.LeaderEpoch > now {
		return
	}
	_, end, ok := s.Ends(p)
	if !ok {
		answer.ErrorCode = codeUnknownTopicOrPartition
		return
	}
	answer.LeaderEpoch, answer.EndOffset = asked.LeaderEpoch, int64(end)
}
