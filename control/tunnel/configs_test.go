package tunnel

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/topic"
)

func describeOf(t *testing.T, f *fixture, kind kmsg.ConfigResourceType, name string, names ...string) kmsg.DescribeConfigsResponseResource {
	t.Helper()
	return get[*kmsg.DescribeConfigsResponse](t, f, request(f, kmsg.NewPtrDescribeConfigsRequest(), func(r *kmsg.DescribeConfigsRequest) {
		r.IncludeSynonyms, r.IncludeDocumentation = true, true
		r.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: names}}
	})).Resources[0]
}

func TestDescribeConfigs(t *testing.T) {
	f := newFixture(t)
	f.topic(t, "orders", 1, "retention.ms", "5", "message.timestamp.difference.max.ms", "9")
	got := describeOf(t, f, kmsg.ConfigResourceTypeTopic, "orders")
	seen := map[string]kmsg.DescribeConfigsResponseResourceConfig{}
	for _, c := range got.Configs {
		seen[c.Name] = c
		if text(c.Documentation) == "" || len(c.ConfigSynonyms) == 0 || c.ConfigType == 0 {
			t.Errorf("%s has no documentation, synonym or type", c.Name)
		}
	}
	for _, k := range topic.ConfigKeys() {
		if _, ok := seen[k.Name]; ok == k.Legacy && k.Name != "message.timestamp.difference.max.ms" {
			t.Errorf("%s is described: %v", k.Name, ok)
		}
	}
	if c := seen["retention.ms"]; text(c.Value) != "5" || c.Source != kmsg.ConfigSourceDynamicTopicConfig || len(c.ConfigSynonyms) != 2 || c.ConfigSynonyms[1].Name != "log.retention.ms" {
		t.Errorf("retention.ms: %+v", c)
	}
	if c := seen["segment.bytes"]; text(c.Value) != "1073741824" || c.Source != kmsg.ConfigSourceDefaultConfig || !strings.Contains(text(c.Documentation), "without effect") {
		t.Errorf("segment.bytes: %+v", c)
	}
	if c := seen[topic.ShareConfig]; text(c.Value) != "default" || !c.ReadOnly {
		t.Errorf("%s: %+v", topic.ShareConfig, c)
	}
	if c := seen["message.timestamp.difference.max.ms"]; text(c.Value) != "9" {
		t.Errorf("a legacy config that is set: %+v", c)
	}
	if got := describeOf(t, f, kmsg.ConfigResourceTypeTopic, "orders", "retention.ms", "nonsense"); len(got.Configs) != 1 {
		t.Errorf("two names, one of them known: %d configs", len(got.Configs))
	}
	if got := describeOf(t, f, kmsg.ConfigResourceTypeTopic, "nowhere"); got.ErrorCode != codeUnknownTopicOrPartition {
		t.Errorf("unknown topic: %d", got.ErrorCode)
	}
	if got := describeOf(t, f, kmsg.ConfigResourceTypeTopic, "no where"); got.ErrorCode != codeInvalidTopic {
		t.Errorf("bad topic: %d", got.ErrorCode)
	}
	if got := describeOf(t, f, kmsg.ConfigResourceTypeBroker, "1"); got.ErrorCode != 0 || len(got.Configs) < 15 || !got.Configs[0].ReadOnly {
		t.Errorf("broker: %+v", got)
	}
	if got := describeOf(t, f, kmsg.ConfigResourceTypeBroker, "1", "num.partitions"); len(got.Configs) != 1 || text(got.Configs[0].Value) != "1" {
		t.Errorf("num.partitions: %+v", got)
	}
	if got := describeOf(t, f, kmsg.ConfigResourceTypeBroker, ""); got.ErrorCode != 0 || len(got.Configs) != 0 {
		t.Errorf("dynamic broker defaults: %+v", got)
	}
	if got := describeOf(t, f, kmsg.ConfigResourceTypeBroker, "one"); got.ErrorCode != codeInvalidRequest {
		t.Errorf("broker one: %+v", got)
	}
	if got := describeOf(t, f, kmsg.ConfigResourceTypeBrokerLogger, "1"); got.ErrorCode != codeInvalidRequest || !strings.Contains(text(got.ErrorMessage), "not served") {
		t.Errorf("logger: %+v", got)
	}
}

func TestIncrementalAlterConfigs(t *testing.T) {
	f := newFixture(t)
	f.topic(t, "orders", 1, "retention.bytes", "100")
	const (
		set      = kmsg.IncrementalAlterConfigOpSet
		del      = kmsg.IncrementalAlterConfigOpDelete
		add      = kmsg.IncrementalAlterConfigOpAppend
		subtract = kmsg.IncrementalAlterConfigOpSubtract
		throttle = "leader.replication.throttled.replicas"
	)
	s := kmsg.StringPtr
	type change = kmsg.IncrementalAlterConfigsRequestResourceConfig
	for _, tc := range []struct {
		name    string
		kind    kmsg.ConfigResourceType
		topic   string
		changes []change
		code    int16
		text    string
		want    map[string]string
	}{
		{"set", 2, "orders", []change{{Name: "retention.ms", Op: set, Value: s("7")}}, 0, "", map[string]string{"retention.bytes": "100", "retention.ms": "7"}},
		{"delete", 2, "orders", []change{{Name: "retention.bytes", Op: del}}, 0, "", map[string]string{"retention.ms": "7"}},
		{"append", 2, "orders", []change{{Name: throttle, Op: add, Value: s("0:1,1:2")}}, 0, "", map[string]string{"retention.ms": "7", throttle: "0:1,1:2"}},
		{"append what is there", 2, "orders", []change{{Name: throttle, Op: add, Value: s("1:2,2:3")}}, 0, "", map[string]string{"retention.ms": "7", throttle: "0:1,1:2,2:3"}},
		{"subtract", 2, "orders", []change{{Name: throttle, Op: subtract, Value: s("1:2,9:9")}}, 0, "", map[string]string{"retention.ms": "7", throttle: "0:1,2:3"}},
		{"append to a number", 2, "orders", []change{{Name: "retention.ms", Op: add, Value: s("1")}}, codeInvalidConfig, "no list", nil},
		{"subtract the policy", 2, "orders", []change{{Name: "cleanup.policy", Op: subtract, Value: s("delete")}}, codeInvalidConfig, "policy", nil},
		{"append compact", 2, "orders", []change{{Name: "cleanup.policy", Op: add, Value: s("compact")}}, codeInvalidConfig, "not served yet", nil},
		{"all or nothing", 2, "orders", []change{{Name: "retention.ms", Op: set, Value: s("8")}, {Name: "nonsense", Op: set, Value: s("8")}}, codeInvalidConfig, "nonsense", nil},
		{"null", 2, "orders", []change{{Name: "retention.ms", Op: set}}, codeInvalidConfig, "Null", nil},
		{"unknown delete", 2, "orders", []change{{Name: "retentoin.ms", Op: del}}, codeInvalidConfig, "did you mean", nil},
		{"unknown append", 2, "orders", []change{{Name: "nope", Op: add, Value: s("1")}}, codeInvalidConfig, "unknown", nil},
		{"unknown operation", 2, "orders", []change{{Name: "retention.ms", Op: 9, Value: s("1")}}, codeInvalidRequest, "operation 9", nil},
		{"twice", 2, "orders", []change{{Name: "retention.ms", Op: set, Value: s("1")}, {Name: "retention.ms", Op: del}}, codeInvalidRequest, "more than once", nil},
		{"the same share", 2, "orders", []change{{Name: topic.ShareConfig, Op: set, Value: s("default")}}, 0, "", nil},
		{"another share", 2, "orders", []change{{Name: topic.ShareConfig, Op: set, Value: s("other")}}, codeInvalidConfig, "for good", nil},
		{"no share", 2, "orders", []change{{Name: topic.ShareConfig, Op: del}}, codeInvalidConfig, "for good", nil},
		{"unknown topic", 2, "nowhere", nil, codeUnknownTopicOrPartition, "nowhere", nil},
		{"bad topic", 2, "no where", nil, codeInvalidTopic, "ASCII", nil},
		{"internal topic", 2, "__consumer_offsets", nil, codeInvalidTopic, "internal", nil},
		{"broker", 4, "1", nil, codeInvalidRequest, "control plane", nil},
		{"group", 32, "g", nil, codeInvalidRequest, "resource type 32", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, validate := range []bool{true, false} {
				req := request(f, kmsg.NewPtrIncrementalAlterConfigsRequest(), func(r *kmsg.IncrementalAlterConfigsRequest) {
					r.ValidateOnly = validate
					r.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: tc.kind, ResourceName: tc.topic, Configs: tc.changes}}
				})
				got := get[*kmsg.IncrementalAlterConfigsResponse](t, f, req).Resources[0]
				if got.ErrorCode != tc.code || !strings.Contains(text(got.ErrorMessage), tc.text) {
					t.Fatalf("validate=%v: code %d, %s", validate, got.ErrorCode, text(got.ErrorMessage))
				}
			}
			if tc.want != nil {
				checkOverrides(t, f, tc.want)
			}
		})
	}
	req := request(f, kmsg.NewPtrIncrementalAlterConfigsRequest(), func(r *kmsg.IncrementalAlterConfigsRequest) {
		one := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: 2, ResourceName: "orders"}
		r.Resources = []kmsg.IncrementalAlterConfigsRequestResource{one, one}
	})
	for _, r := range get[*kmsg.IncrementalAlterConfigsResponse](t, f, req).Resources {
		if r.ErrorCode != codeInvalidRequest {
			t.Errorf("a resource named twice: %d", r.ErrorCode)
		}
	}
}

func checkOverrides(t *testing.T, f *fixture, want map[string]string) {
	t.Helper()
	var have map[string]string
	f.m.set(func() {
		tp, _ := f.m.state.TopicByName("orders")
		have = tp.Overrides
	})
	if len(have) != len(want) {
		t.Fatalf("overrides %v, want %v", have, want)
	}
	for k, v := range want {
		if have[k] != v {
			t.Errorf("%s is %q, want %q", k, have[k], v)
		}
	}
}

func TestAlterConfigs(t *testing.T) {
	f := newFixture(t)
	f.topic(t, "orders", 1, "retention.bytes", "100")
	s := kmsg.StringPtr
	alter := func(configs ...kmsg.AlterConfigsRequestResourceConfig) int16 {
		return get[*kmsg.AlterConfigsResponse](t, f, request(f, kmsg.NewPtrAlterConfigsRequest(), func(r *kmsg.AlterConfigsRequest) {
			r.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: 2, ResourceName: "orders", Configs: configs}}
		})).Resources[0].ErrorCode
	}
	if code := alter(kmsg.AlterConfigsRequestResourceConfig{Name: "retention.ms", Value: s("3")}, kmsg.AlterConfigsRequestResourceConfig{Name: topic.ShareConfig, Value: s("default")}); code != 0 {
		t.Fatal(code)
	}
	checkOverrides(t, f, map[string]string{"retention.ms": "3"})
	for _, bad := range []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms"}, {Name: "x", Value: s("1")}, {Name: topic.ShareConfig, Value: s("other")}} {
		if code := alter(bad); code != codeInvalidConfig {
			t.Errorf("%s: %d", bad.Name, code)
		}
	}
	checkOverrides(t, f, map[string]string{"retention.ms": "3"})
}
