package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// DeleteTopics, key 20, versions 0 to 6: tunnelled; version 6 deletes by id too. Away is 7: whether
// the topic is gone is not known. The internal topic stays (17).
func (b *broker) deleteTopics() wire.API {
	return b.api(kmsg.DeleteTopics, 0, 6, func(ctx context.Context, r *wire.Request) (kmsg.Response, error) {
		req := r.Body.(*kmsg.DeleteTopicsRequest)
		internal := withoutInternal(req)
		resp := kmsg.NewPtrDeleteTopicsResponse()
		if len(req.TopicNames)+len(req.Topics) > 0 || len(internal) == 0 {
			resp = b.call(ctx, r, awayDeleteTopics).(*kmsg.DeleteTopicsResponse)
		}
		for _, t := range resp.Topics {
			if t.Topic != nil {
				b.Topics.Forget(*t.Topic)
			}
		}
		resp.Topics = append(resp.Topics, internal...)
		return resp, nil
	})
}

// withoutInternal takes the internal topic out of req and returns what is answered for it. The
// order of the answers means nothing to clients, who go by name or id.
func withoutInternal(req *kmsg.DeleteTopicsRequest) (refused []kmsg.DeleteTopicsResponseTopic) {
	refuse := func(name *string, id [16]byte) {
		rt := kmsg.NewDeleteTopicsResponseTopic()
		rt.Topic, rt.TopicID = name, id
		rt.ErrorCode, rt.ErrorMessage = kerr.InvalidTopicException.Code, ptr("the internal topic cannot be deleted")
		refused = append(refused, rt)
	}
	names, topics := req.TopicNames[:0], req.Topics[:0]
	for _, name := range req.TopicNames {
		if name == ConsumerOffsets {
			refuse(&name, [16]byte{})
			continue
		}
		names = append(names, name)
	}
	for _, t := range req.Topics {
		if t.Topic != nil && *t.Topic == ConsumerOffsets || t.Topic == nil && t.TopicID == consumerOffsetsID() {
			refuse(t.Topic, t.TopicID)
			continue
		}
		topics = append(topics, t)
	}
	req.TopicNames, req.Topics = names, topics
	return refused
}

func awayDeleteTopics(r kmsg.Request) kmsg.Response {
	req := r.(*kmsg.DeleteTopicsRequest)
	resp := kmsg.NewPtrDeleteTopicsResponse()
	add := func(name *string, id [16]byte) {
		rt := kmsg.NewDeleteTopicsResponseTopic()
		rt.Topic, rt.TopicID, rt.ErrorCode, rt.ErrorMessage = name, id, kerr.RequestTimedOut.Code, ptr(awayText)
		resp.Topics = append(resp.Topics, rt)
	}
	for _, name := range req.TopicNames {
		add(&name, [16]byte{})
	}
	for _, t := range req.Topics {
		add(t.Topic, t.TopicID)
	}
	return resp
}
