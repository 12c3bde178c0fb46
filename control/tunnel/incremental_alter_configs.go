package tunnel

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// IncrementalAlterConfigs, key 44, versions 0 and 1.
//
// SET and DELETE change one override of a topic; APPEND and SUBTRACT change lists
// (42 for others, as in Kafka). All changes of one topic happen together or not
// at all. The share of a topic is for good (40).
//
// Left out: brokers, whose configs are set where the control plane is started,
// and other resources; both are answered 42 with the reason.
func incrementalAlterConfigsAPI() api {
	return api{key: 44, min: 0, max: 1, serve: (*Tunnel).incrementalAlterConfigs}
}

func (t *Tunnel) incrementalAlterConfigs(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.IncrementalAlterConfigsRequest)
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	named := map[string]int{}
	for _, r := range req.Resources {
		named[resourceKey(r.ResourceType, r.ResourceName)]++
	}
	for _, r := range req.Resources {
		f := twice(named[resourceKey(r.ResourceType, r.ResourceName)])
		if f == nil {
			var err error
			f, err = t.alterTopic(ctx, c, r.ResourceType, r.ResourceName, req.ValidateOnly, func(tp topic.Topic) (map[string]string, *fault) {
				return changed(tp, r.Configs)
			})
			if err != nil {
				return nil, err
			}
		}
		ar := kmsg.NewIncrementalAlterConfigsResponseResource()
		ar.ResourceType, ar.ResourceName = r.ResourceType, r.ResourceName
		if f != nil {
			ar.ErrorCode, ar.ErrorMessage = f.code, f.message()
		}
		resp.Resources = append(resp.Resources, ar)
	}
	return resp, nil
}

func resourceKey(kind kmsg.ConfigResourceType, name string) string {
	return fmt.Sprintf("%d/%s", kind, name)
}

func twice(named int) *fault {
	if named > 1 {
		return &fault{codeInvalidRequest, "Each resource must appear at most once."}
	}
	return nil
}

// changed applies the operations to a copy of the topic's overrides.
func changed(tp topic.Topic, configs []kmsg.IncrementalAlterConfigsRequestResourceConfig) (map[string]string, *fault) {
	overrides := maps.Clone(tp.Overrides)
	if overrides == nil {
		overrides = map[string]string{}
	}
	seen := map[string]bool{}
	for _, cf := range configs {
		if seen[cf.Name] {
			return nil, &fault{codeInvalidRequest, "config named more than once: " + safe(cf.Name)}
		}
		seen[cf.Name] = true
		if f := changeOne(tp, overrides, cf); f != nil {
			return nil, f
		}
	}
	return overrides, nil
}

func changeOne(tp topic.Topic, overrides map[string]string, cf kmsg.IncrementalAlterConfigsRequestResourceConfig) *fault {
	value := text(cf.Value)
	if cf.Value == nil && cf.Op != kmsg.IncrementalAlterConfigOpDelete {
		return &fault{codeInvalidConfig, "Null value not supported for topic configs: " + safe(cf.Name)}
	}
	if cf.Name == topic.ShareConfig {
		if cf.Op == kmsg.IncrementalAlterConfigOpSet {
			return sameShare(tp, value)
		}
		return &fault{codeInvalidConfig, topic.ShareConfig + " is given when the topic is created, and for good"}
	}
	key, known := topic.LookupConfig(cf.Name)
	switch cf.Op {
	case kmsg.IncrementalAlterConfigOpSet:
		overrides[cf.Name] = value
	case kmsg.IncrementalAlterConfigOpDelete:
		if !known {
			return unknownConfig(cf.Name)
		}
		delete(overrides, cf.Name)
	case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
		if !known {
			return unknownConfig(cf.Name)
		}
		if key.Type != topic.TypeList {
			return &fault{codeInvalidConfig, fmt.Sprintf("Config value append or subtract is not allowed for config %s, which is no list", cf.Name)}
		}
		overrides[cf.Name] = changeList(overrides, key, cf.Op, value)
	default:
		return &fault{codeInvalidRequest, fmt.Sprintf("unknown operation %d on config %s", cf.Op, safe(cf.Name))}
	}
	return nil
}

func unknownConfig(name string) *fault {
	err := topic.CheckConfig(name, "")
	return &fault{codeInvalidConfig, err.Error()}
}

// changeList appends to, or takes from, a list what it does not have, or has.
func changeList(overrides map[string]string, key topic.ConfigKey, op kmsg.IncrementalAlterConfigOp, value string) string {
	now, set := overrides[key.Name]
	if !set {
		now = key.Default
	}
	items := splitList(now)
	for _, v := range splitList(value) {
		at := slices.Index(items, v)
		switch {
		case op == kmsg.IncrementalAlterConfigOpAppend && at < 0:
			items = append(items, v)
		case op == kmsg.IncrementalAlterConfigOpSubtract && at >= 0:
			items = slices.Delete(items, at, at+1)
		}
	}
	return strings.Join(items, ",")
}

func splitList(s string) []string {
	var out []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

func sameShare(tp topic.Topic, share string) *fault {
	if share == tp.Share {
		return nil
	}
	return &fault{codeInvalidConfig, fmt.Sprintf("topic %s belongs to share %q for good: create another topic in share %q and copy its records", tp.Name, tp.Share, safe(share))}
}

// alterTopic replaces the overrides of a topic by what change makes of them. One
// change at a time, for change reads what it replaces.
func (t *Tunnel) alterTopic(ctx context.Context, c *call, kind kmsg.ConfigResourceType, name string, validateOnly bool, change func(topic.Topic) (map[string]string, *fault)) (*fault, error) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
	case kmsg.ConfigResourceTypeBroker:
		return &fault{codeInvalidRequest, "broker configs are set where the control plane is started, and changed there"}, nil
	default:
		return &fault{codeInvalidRequest, fmt.Sprintf("configs of resource type %d cannot be altered, only those of topics", kind)}, nil
	}
	t.altering.Lock()
	defer t.altering.Unlock()
	if f := checkTopicName(name); f != nil {
		return f, nil
	}
	var tp topic.Topic
	var denied *fault
	err := t.backend.View(ctx, func(s *control.State) { tp, denied = t.findTopic(s, c, name) })
	if err != nil || denied != nil {
		return denied, err
	}
	if tp.Internal {
		return &fault{codeInvalidTopic, fmt.Sprintf("%s is internal and cannot be configured", name)}, nil
	}
	overrides, f := change(tp)
	if f != nil {
		return f, nil
	}
	if _, err := topic.ParseConfig(overrides); err != nil {
		return &fault{codeInvalidConfig, err.Error()}, nil
	}
	if validateOnly {
		return nil, nil
	}
	return t.setOverrides(ctx, tp, overrides)
}

func (t *Tunnel) setOverrides(ctx context.Context, tp topic.Topic, overrides map[string]string) (*fault, error) {
	results, err := t.propose(ctx, &controlpb.Command{Op: &controlpb.Command_AlterTopicConfig{
		AlterTopicConfig: &controlpb.AlterTopicConfigCommand{Id: tp.ID[:], Config: overrides},
	}})
	if err != nil {
		return nil, fmt.Errorf("alter configs of topic %s: %w", tp.Name, err)
	}
	f := faultOf(results[0])
	if f == nil {
		t.log.Info("topic configs altered", "topic", tp.Name, "id", tp.ID, "overrides", len(overrides))
	}
	return f, nil
}
