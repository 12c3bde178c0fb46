package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// DescribeConfigs, key 32, versions 0 to 4: tunnelled; every config of a topic with its source,
// synonyms (version 1) and documentation (version 3).
func (b *broker) describeConfigs() wire.API {
	return b.tunnelled(kmsg.DescribeConfigs, 0, 4, kerr.RequestTimedOut.Code, awayDescribeConfigs)
}

func awayDescribeConfigs(r kmsg.Request, f fault) kmsg.Response {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	for _, res := range r.(*kmsg.DescribeConfigsRequest).Resources {
		rr := kmsg.NewDescribeConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = res.ResourceType, res.ResourceName
		rr.ErrorCode, rr.ErrorMessage = f.code, f.text
		resp.Resources = append(resp.Resources, rr)
	}
	return resp
}
