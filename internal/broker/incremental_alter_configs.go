package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// IncrementalAlterConfigs, key 44, versions 0 to 1: tunnelled; sets, deletes, appends to and
// subtracts from single configs. Away is 7: whether it was applied is not known.
func (b *broker) incrementalAlterConfigs() wire.API {
	return b.api(kmsg.IncrementalAlterConfigs, 0, 1, func(ctx context.Context, r *wire.Request) (kmsg.Response, error) {
		resp := b.call(ctx, r, kerr.RequestTimedOut.Code, awayIncrementalAlterConfigs)
		for _, res := range r.Body.(*kmsg.IncrementalAlterConfigsRequest).Resources {
			b.forgetResource(res.ResourceType, res.ResourceName)
		}
		return resp, nil
	})
}

func awayIncrementalAlterConfigs(r kmsg.Request, f fault) kmsg.Response {
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	for _, res := range r.(*kmsg.IncrementalAlterConfigsRequest).Resources {
		rr := kmsg.NewIncrementalAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = res.ResourceType, res.ResourceName
		rr.ErrorCode, rr.ErrorMessage = f.code, f.text
		resp.Resources = append(resp.Resources, rr)
	}
	return resp
}
