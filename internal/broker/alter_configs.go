package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// AlterConfigs, key 33, versions 0 to 2: tunnelled; it replaces the whole set of a topic's configs.
// Away is 7: whether it was applied is not known.
func (b *broker) alterConfigs() wire.API {
	return b.api(kmsg.AlterConfigs, 0, 2, func(ctx context.Context, r *wire.Request) (kmsg.Response, error) {
		resp := b.call(ctx, r, kerr.RequestTimedOut.Code, awayAlterConfigs)
		for _, res := range r.Body.(*kmsg.AlterConfigsRequest).Resources {
			b.forgetResource(res.ResourceType, res.ResourceName)
		}
		return resp, nil
	})
}

// forgetResource makes a topic's new configs known here at once, and elsewhere within the TTL of
// the topic cache.
func (b *broker) forgetResource(kind kmsg.ConfigResourceType, name string) {
	if kind == kmsg.ConfigResourceTypeTopic {
		b.Topics.Forget(name)
	}
}

func awayAlterConfigs(r kmsg.Request, f fault) kmsg.Response {
	resp := kmsg.NewPtrAlterConfigsResponse()
	for _, res := range r.(*kmsg.AlterConfigsRequest).Resources {
		rr := kmsg.NewAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = res.ResourceType, res.ResourceName
		rr.ErrorCode, rr.ErrorMessage = f.code, f.text
		resp.Resources = append(resp.Resources, rr)
	}
	return resp
}
