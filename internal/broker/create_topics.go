package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// CreateTopics, key 19, versions 0 to 7: tunnelled; any agent is the controller. Once it is
// answered, every agent shows the topic, for each asks the control plane. Away is 7: whether the
// topic was created is not known.
func (b *broker) createTopics() wire.API {
	return b.api(kmsg.CreateTopics, 0, 7, func(ctx context.Context, r *wire.Request) (kmsg.Response, error) {
		req := r.Body.(*kmsg.CreateTopicsRequest)
		resp := b.call(ctx, r, kerr.RequestTimedOut.Code, awayCreateTopics)
		for _, t := range req.Topics {
			b.Topics.Forget(t.Topic)
		}
		return resp, nil
	})
}

func awayCreateTopics(r kmsg.Request, f fault) kmsg.Response {
	resp := kmsg.NewPtrCreateTopicsResponse()
	for _, t := range r.(*kmsg.CreateTopicsRequest).Topics {
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.ErrorCode, rt.ErrorMessage = t.Topic, f.code, f.text
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
