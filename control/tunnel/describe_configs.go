package tunnel

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
)

// DescribeConfigs, key 32, versions 0 to 4.
//
// Topics: every config with its source and, where asked, synonyms (v1+), type and
// documentation (v3+), which says what a config does here and what it does not.
// Brokers, by node id: what is true of the cluster and read-only; the empty name,
// Kafka's dynamic default for all brokers, has nothing set. Null config names ask
// for all; unknown ones are left out, as in Kafka.
//
// Left out: other resources (broker loggers, client metrics, groups) are answered 42.
func describeConfigsAPI() api {
	return api{key: 32, min: 0, max: 4, serve: (*Tunnel).describeConfigs}
}

func (t *Tunnel) describeConfigs(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.DescribeConfigsRequest)
	resp := kmsg.NewPtrDescribeConfigsResponse()
	err := t.backend.View(ctx, func(s *control.State) {
		for _, r := range req.Resources {
			resp.Resources = append(resp.Resources, t.describeResource(s, c, req, r))
		}
	})
	return resp, err
}

func (t *Tunnel) describeResource(s *control.State, c *call, req *kmsg.DescribeConfigsRequest, r kmsg.DescribeConfigsRequestResource) kmsg.DescribeConfigsResponseResource {
	out := kmsg.NewDescribeConfigsResponseResource()
	out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
	var configs []kmsg.DescribeConfigsResponseResourceConfig
	var f *fault
	switch r.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		configs, f = t.describeTopic(s, c, req, r.ResourceName)
	case kmsg.ConfigResourceTypeBroker:
		configs, f = t.describeBroker(s, c, req, r.ResourceName)
	default:
		f = &fault{codeInvalidRequest, fmt.Sprintf("configs of resource type %d are not served, only those of topics and brokers", r.ResourceType)}
	}
	if f != nil {
		out.ErrorCode, out.ErrorMessage = f.code, f.message()
		return out
	}
	for _, cf := range configs {
		if r.ConfigNames == nil || slices.Contains(r.ConfigNames, cf.Name) {
			out.Configs = append(out.Configs, cf)
		}
	}
	return out
}

func (t *Tunnel) describeTopic(s *control.State, c *call, req *kmsg.DescribeConfigsRequest, name string) ([]kmsg.DescribeConfigsResponseResourceConfig, *fault) {
	if f := checkTopicName(name); f != nil {
		return nil, f
	}
	tp, f := t.findTopic(s, c, name)
	if f != nil {
		return nil, f
	}
	var out []kmsg.DescribeConfigsResponseResourceConfig
	for _, v := range topicConfigs(tp) {
		cf := describe(req, v.key.Name, v.value, v.source, kmsg.ConfigType(v.key.Type), v.key.Doc)
		cf.ReadOnly = v.key.ReadOnly
		if req.IncludeSynonyms {
			if v.source != kmsg.ConfigSourceDefaultConfig {
				addSynonym(&cf, v.key.Name, v.value, v.source)
			}
			byDefault := v.key.Broker
			if byDefault == "" {
				byDefault = v.key.Name
			}
			addSynonym(&cf, byDefault, v.key.Default, kmsg.ConfigSourceDefaultConfig)
		}
		out = append(out, cf)
	}
	return out, nil
}

func (t *Tunnel) describeBroker(s *control.State, c *call, req *kmsg.DescribeConfigsRequest, name string) ([]kmsg.DescribeConfigsResponseResourceConfig, *fault) {
	if f := t.askCluster(s, c); f != nil {
		return nil, f
	}
	if name == "" {
		return nil, nil
	}
	if id, err := strconv.ParseInt(name, 10, 32); err != nil || id < 0 {
		return nil, &fault{codeInvalidRequest, fmt.Sprintf("Broker id must be an integer, but it is: %s", safe(name))}
	}
	var out []kmsg.DescribeConfigsResponseResourceConfig
	for _, b := range t.brokerConfigs() {
		source := kmsg.ConfigSourceDefaultConfig
		if b.static {
			source = kmsg.ConfigSourceStaticBrokerConfig
		}
		cf := describe(req, b.name, b.value, source, b.kind, b.doc)
		cf.ReadOnly = true
		if req.IncludeSynonyms {
			addSynonym(&cf, b.name, b.value, source)
		}
		out = append(out, cf)
	}
	return out, nil
}

func describe(req *kmsg.DescribeConfigsRequest, name, value string, source kmsg.ConfigSource, kind kmsg.ConfigType, doc string) kmsg.DescribeConfigsResponseResourceConfig {
	cf := kmsg.NewDescribeConfigsResponseResourceConfig()
	cf.Name, cf.Value, cf.Source, cf.ConfigType = name, &value, source, kind
	cf.IsDefault = source == kmsg.ConfigSourceDefaultConfig
	if req.IncludeDocumentation {
		cf.Documentation = &doc
	}
	return cf
}

func addSynonym(cf *kmsg.DescribeConfigsResponseResourceConfig, name, value string, source kmsg.ConfigSource) {
	s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
	s.Name, s.Value, s.Source = name, &value, source
	cf.ConfigSynonyms = append(cf.ConfigSynonyms, s)
}
