package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// CreateTopics, key 19, versions 0 to 7: tunnelled; any agent is the controller. Once it is
// answered, every agent shows the topic, for each asks the control plane. Away is 7: whether the
// topic was created is not known. The internal topic exists (36).
func (b *broker) createTopics() wire.API {
	return b.api(kmsg.CreateTopics, 0, 7, func(ctx context.Context, r *wire.Request) (kmsg.Response, error) {
		req := r.Body.(*kmsg.CreateTopicsRequest)
		exists := withoutExisting(req)
		resp := kmsg.NewPtrCreateTopicsResponse()
		if len(req.Topics) > 0 || len(exists) == 0 {
			resp = b.call(ctx, r, awayCreateTopics).(*kmsg.CreateTopicsResponse)
		}
		for _, t := range req.Topics {
			b.Topics.Forget(t.Topic)
		}
		resp.Topics = append(resp.Topics, exists...)
		return resp, nil
	})
}

// withoutExisting takes the internal topic out of req and returns what is answered for it.
func withoutExisting(req *kmsg.CreateTopicsRequest) (exists []kmsg.CreateTopicsResponseTopic) {
	topics := req.Topics[:0]
	for _, t := range req.Topics {
		if t.Topic != ConsumerOffsets {
			topics = append(topics, t)
			continue
		}
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.ErrorCode = t.Topic, kerr.TopicAlreadyExists.Code
		rt.ErrorMessage = ptr("the internal topic exists from the start")
		exists = append(exists, rt)
	}
	req.Topics = topics
	return exists
}

func awayCreateTopics(r kmsg.Request) kmsg.Response {
	resp := kmsg.NewPtrCreateTopicsResponse()
	for _, t := range r.(*kmsg.CreateTopicsRequest).Topics {
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.ErrorCode, rt.ErrorMessage = t.Topic, kerr.RequestTimedOut.Code, ptr(awayText)
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
