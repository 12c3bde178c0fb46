package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// DeleteTopics, key 20, versions 0 to 6: tunnelled; version 6 deletes by id too. Away is 7: whether
// the topic is gone is not known.
func (b *broker) deleteTopics() wire.API {
	return b.api(kmsg.DeleteTopics, 0, 6, func(ctx context.Context, r *wire.Request) (kmsg.Response, error) {
		resp := b.call(ctx, r, kerr.RequestTimedOut.Code, awayDeleteTopics)
		for _, t := range resp.(*kmsg.DeleteTopicsResponse).Topics {
			if t.Topic != nil {
				b.Topics.Forget(*t.Topic)
			}
		}
		return resp, nil
	})
}

func awayDeleteTopics(r kmsg.Request, f fault) kmsg.Response {
	req := r.(*kmsg.DeleteTopicsRequest)
	resp := kmsg.NewPtrDeleteTopicsResponse()
	add := func(name *string, id [16]byte) {
		rt := kmsg.NewDeleteTopicsResponseTopic()
		rt.Topic, rt.TopicID, rt.ErrorCode, rt.ErrorMessage = name, id, f.code, f.text
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
