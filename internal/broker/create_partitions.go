package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// CreatePartitions, key 37, versions 0 to 3: tunnelled; a topic only grows. Away is 7: whether it
// has grown is not known. Left out: the assignment to brokers, which means nothing here.
func (b *broker) createPartitions() wire.API {
	return b.api(kmsg.CreatePartitions, 0, 3, func(ctx context.Context, r *wire.Request) (kmsg.Response, error) {
		resp := b.call(ctx, r, kerr.RequestTimedOut.Code, awayCreatePartitions)
		for _, t := range r.Body.(*kmsg.CreatePartitionsRequest).Topics {
			b.Topics.Forget(t.Topic)
		}
		return resp, nil
	})
}

func awayCreatePartitions(r kmsg.Request, f fault) kmsg.Response {
	resp := kmsg.NewPtrCreatePartitionsResponse()
	for _, t := range r.(*kmsg.CreatePartitionsRequest).Topics {
		rt := kmsg.NewCreatePartitionsResponseTopic()
		rt.Topic, rt.ErrorCode, rt.ErrorMessage = t.Topic, f.code, f.text
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
