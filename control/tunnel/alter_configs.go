package tunnel

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// AlterConfigs, key 33, versions 0 to 2.
//
// Replaces all overrides of a topic by those named: what is not named goes back
// to its default. The share stays; naming another one is answered 40. Kafka's
// clients prefer IncrementalAlterConfigs.
//
// Left out: resources other than topics, answered 42.
func alterConfigsAPI() api { return api{key: 33, min: 0, max: 2, serve: (*Tunnel).alterConfigs} }

func (t *Tunnel) alterConfigs(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.AlterConfigsRequest)
	resp := kmsg.NewPtrAlterConfigsResponse()
	named := map[string]int{}
	for _, r := range req.Resources {
		named[resourceKey(r.ResourceType, r.ResourceName)]++
	}
	for _, r := range req.Resources {
		f := twice(named[resourceKey(r.ResourceType, r.ResourceName)])
		if f == nil {
			var err error
			f, err = t.alterTopic(ctx, c, r.ResourceType, r.ResourceName, req.ValidateOnly, func(tp topic.Topic) (map[string]string, *fault) {
				return replaced(tp, r.Configs)
			})
			if err != nil {
				return nil, err
			}
		}
		ar := kmsg.NewAlterConfigsResponseResource()
		ar.ResourceType, ar.ResourceName = r.ResourceType, r.ResourceName
		if f != nil {
			ar.ErrorCode, ar.ErrorMessage = f.code, f.message()
		}
		resp.Resources = append(resp.Resources, ar)
	}
	return resp, nil
}

func replaced(tp topic.Topic, configs []kmsg.AlterConfigsRequestResourceConfig) (map[string]string, *fault) {
	overrides := map[string]string{}
	for _, cf := range configs {
		if cf.Value == nil {
			return nil, &fault{codeInvalidConfig, "Null value not supported for topic configs: " + safe(cf.Name)}
		}
		if cf.Name == topic.ShareConfig {
			if f := sameShare(tp, *cf.Value); f != nil {
				return nil, f
			}
			continue
		}
		overrides[cf.Name] = *cf.Value
	}
	return overrides, nil
}
