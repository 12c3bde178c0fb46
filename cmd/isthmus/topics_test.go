package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record/recordtest"
)

// TestTopicsAreMadeDescribedChangedAndDeleted manages topics as Kafka's tools do and as isthmus
// topic does, at agents of either role.
func TestTopicsAreMadeDescribedChangedAndDeleted(t *testing.T) {
	t.Parallel()
	l := startLands(t)
	t.Run("a topic is seen at every agent as soon as it is created", func(t *testing.T) { l.in(t).seenAtOnce() })
	t.Run("configs are described with their source and what they do here", func(t *testing.T) { l.in(t).configsDescribed() })
	t.Run("configs that are unknown, wrong or not kept are refused with the reason", func(t *testing.T) { l.in(t).configsRefused() })
	t.Run("configs change one by one and take effect", func(t *testing.T) { l.in(t).configsChange() })
	t.Run("partitions only grow", func(t *testing.T) { l.in(t).partitionsGrow() })
	t.Run("what cannot be created is refused and not made", func(t *testing.T) { l.in(t).creationRefused() })
	t.Run("a topic that is deleted is gone everywhere", func(t *testing.T) { l.in(t).deleted() })
	t.Run("a topic is made when a client asks for it, where agent and client allow", func(t *testing.T) { l.in(t).autoCreation() })
	t.Run("the internal topic is there and nobody's", func(t *testing.T) { l.in(t).internalTopicShown() })
	t.Run("retention by time and size moves the log start", func(t *testing.T) { l.in(t).retention() })
	t.Run("isthmus topic does the same", func(t *testing.T) { l.in(t).topicCommands() })
}

func (l *lands) seenAtOnce() {
	for i, name := range []string{"prod-1", "prod-2", "analytics-1", "analytics-2"} {
		topic := "seen-" + name
		request := kmsg.NewPtrCreateTopicsRequest()
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(i+1), 3 // any factor: the bucket's durability counts
		request.Topics = append(request.Topics, t)
		made := call[*kmsg.CreateTopicsResponse](l.dial(name), 7, request).Topics[0]
		if made.ErrorCode != 0 || made.NumPartitions != int32(i+1) || made.TopicID == [16]byte{} {
			l.t.Errorf("create %s: code %d, %s, %d partitions", topic, made.ErrorCode, said(made.ErrorMessage), made.NumPartitions)
		}
		for _, other := range []string{"prod-1", "prod-2", "analytics-1", "analytics-2"} {
			shown := call[*kmsg.MetadataResponse](l.dial(other), 12, metadataOf(topic, false)).Topics[0]
			if shown.ErrorCode != 0 || len(shown.Partitions) != i+1 || shown.TopicID != made.TopicID {
				l.t.Errorf("%s shows %s with code %d and %d partitions", other, topic, shown.ErrorCode, len(shown.Partitions))
			}
		}
	}
}

func metadataOf(topic string, create bool) *kmsg.MetadataRequest {
	request := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	request.Topics, request.AllowAutoTopicCreation = append(request.Topics, t), create
	return request
}

func (l *lands) configsDescribed() {
	l.create("described", 1, "retention.ms=86400000", "segment.bytes=1000000", "min.insync.replicas=2")
	request := kmsg.NewPtrDescribeConfigsRequest()
	request.IncludeDocumentation, request.IncludeSynonyms = true, true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, "described", nil
	request.Resources = append(request.Resources, r)
	answer := call[*kmsg.DescribeConfigsResponse](l.dial("analytics-1"), 4, request).Resources[0]
	if answer.ErrorCode != 0 {
		l.t.Fatalf("code %d, %s", answer.ErrorCode, said(answer.ErrorMessage))
	}
	configs := map[string]kmsg.DescribeConfigsResponseResourceConfig{}
	for _, c := range answer.Configs {
		configs[c.Name] = c
		if said(c.Documentation) == "" || c.ConfigType == 0 || len(c.ConfigSynonyms) == 0 {
			l.t.Errorf("%s lacks documentation, type or synonyms", c.Name)
		}
	}
	for name, want := range map[string]struct {
		value  string
		source kmsg.ConfigSource
		doc    string
	}{
		"retention.ms":        {"86400000", kmsg.ConfigSourceDynamicTopicConfig, "How long records are kept"},
		"segment.bytes":       {"1000000", kmsg.ConfigSourceDynamicTopicConfig, "without effect"},
		"min.insync.replicas": {"2", kmsg.ConfigSourceDynamicTopicConfig, "without effect"},
		"retention.bytes":     {"-1", kmsg.ConfigSourceDefaultConfig, "How many bytes"},
		"max.message.bytes":   {"1048588", kmsg.ConfigSourceDefaultConfig, "MESSAGE_TOO_LARGE"},
		"cleanup.policy":      {"delete", kmsg.ConfigSourceDefaultConfig, "compact"},
		"isthmus.share":       {"default", kmsg.ConfigSourceDefaultConfig, "for good"},
	} {
		c, known := configs[name]
		if !known || said(c.Value) != want.value || c.Source != want.source || !strings.Contains(said(c.Documentation), want.doc) {
			l.t.Errorf("%s is %q from %v, %q; want %q from %v, %q", name, said(c.Value), c.Source, said(c.Documentation), want.value, want.source, want.doc)
		}
	}
	node := call[*kmsg.MetadataResponse](l.dial("analytics-1"), 12, allTopics()).ControllerID
	broker, err := l.admin("analytics").DescribeBrokerConfigs(l.ctx, node)
	if err != nil || len(broker) != 1 || broker[0].Err != nil || len(broker[0].Configs) == 0 {
		l.t.Errorf("configs of a broker: %v, %+v", err, broker)
	}
}

func (l *lands) configsRefused() {
	l.create("strict", 1)
	for setting, words := range map[string][]string{
		"retention.mss=1":                   {`"retention.mss"`, `"retention.ms"`}, // names the nearest
		"no.such.config=1":                  {`"no.such.config"`},
		"retention.ms=soon":                 {"retention.ms", "soon", "whole number"},
		"retention.ms=-7":                   {"retention.ms", "-7"},
		"cleanup.policy=compact":            {"cleanup.policy", "compact"},
		"remote.storage.enable=true":        {"remote.storage.enable", "bucket"},
		"message.timestamp.type=ServerTime": {"CreateTime", "LogAppendTime"},
		"max.message.bytes=-1":              {"max.message.bytes"},
		"isthmus.share=elsewhere":           {"elsewhere"},
	} {
		key, value, _ := strings.Cut(setting, "=")
		made, _ := l.admin("prod").CreateTopic(l.ctx, 1, -1, map[string]*string{key: &value}, "never-made") // its error is the answer's
		for _, word := range words {
			if !errors.Is(made.Err, kerr.InvalidConfig) || !strings.Contains(made.ErrMessage, word) {
				l.t.Errorf("create with %s: %v, and the text lacks %q: %s", setting, made.Err, word, made.ErrMessage)
			}
		}
		changed, err := l.admin("analytics").AlterTopicConfigs(l.ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, "strict")
		if err != nil || len(changed) != 1 {
			l.t.Fatalf("alter: %v, %d answers", err, len(changed))
		}
		if changed[0].Err == nil || key != "isthmus.share" && !strings.Contains(changed[0].ErrMessage, key) {
			l.t.Errorf("alter to %s: %v %s", setting, changed[0].Err, changed[0].ErrMessage)
		}
	}
	if found, err := l.admin("prod").ListTopics(l.ctx); err != nil || found.Has("never-made") {
		l.t.Errorf("a topic with a refused config was made all the same (%v)", err)
	}
}

func (l *lands) configsChange() {
	l.create("changing", 1)
	c, big := l.dial("prod-1"), recordtest.Batch(recordtest.Options{Size: 2000})
	alter := func(changes ...kadm.AlterConfig) {
		l.t.Helper()
		if answer, err := l.admin("analytics").AlterTopicConfigs(l.ctx, changes, "changing"); err != nil || answer[0].Err != nil {
			l.t.Fatalf("alter: %v, %+v", err, answer)
		}
	}
	code := func() int16 { return c.produce(9, "changing", big)[0].ErrorCode }
	alter(kadm.AlterConfig{Op: kadm.SetConfig, Name: "max.message.bytes", Value: kadm.StringPtr("1000")})
	if code() != kerr.MessageTooLarge.Code {
		l.t.Error("the smaller bound is not kept")
	}
	alter(kadm.AlterConfig{Op: kadm.DeleteConfig, Name: "max.message.bytes"}, kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("123456789")})
	// An agent that knows the topic learns of a change a little later.
	eventually(l.t, "the default bound is kept again", func() bool { return code() == 0 })
	configs, err := l.admin("prod").DescribeTopicConfigs(l.ctx, "changing")
	if err != nil || len(configs) != 1 {
		l.t.Fatalf("describe: %v", err)
	}
	for _, config := range configs[0].Configs {
		if want, ours := map[string]string{"max.message.bytes": "1048588", "retention.ms": "123456789"}[config.Key]; ours && config.MaybeValue() != want {
			l.t.Errorf("%s is %s, want %s", config.Key, config.MaybeValue(), want)
		}
	}
}

func (l *lands) partitionsGrow() {
	l.create("growing", 2)
	b := recordtest.Batch(recordtest.Options{})
	c := l.dial("prod-1")
	c.produce(9, "growing", b, b) // the agent knows of two
	admin := l.admin("analytics")
	grow := func(total int) error {
		answer, err := admin.UpdatePartitions(l.ctx, total, "growing")
		if err != nil {
			return err
		}
		return answer["growing"].Err
	}
	for _, total := range []int{2, 1, -1} {
		if err := grow(total); err == nil || !strings.Contains(err.Error(), kerr.InvalidPartitions.Message) {
			l.t.Errorf("from 2 to %d partitions: %v, want %v", total, err, kerr.InvalidPartitions)
		}
	}
	if err := grow(5); err != nil {
		l.t.Fatalf("grow: %v", err)
	}
	for i, p := range c.produce(9, "growing", b, b, b, b, b) {
		if p.ErrorCode != 0 {
			l.t.Errorf("produce to partition %d of 5: code %d, %s", i, p.ErrorCode, said(p.ErrorMessage))
		}
	}
	if p := l.dial("analytics-2").fetch(11, fetchRequest("growing", 4, 0))[0]; p.ErrorCode != 0 || len(p.RecordBatches) == 0 {
		l.t.Errorf("fetch of a new partition: code %d, %d bytes", p.ErrorCode, len(p.RecordBatches))
	}
}

func (l *lands) creationRefused() {
	l.create("taken", 1)
	for _, q := range []struct {
		name               string
		partitions, factor int32
		code               int16
	}{
		{"taken", 1, 1, kerr.TopicAlreadyExists.Code},
		{"", 1, 1, kerr.InvalidTopicException.Code},
		{".", 1, 1, kerr.InvalidTopicException.Code},
		{"with space", 1, 1, kerr.InvalidTopicException.Code},
		{"slash/ed", 1, 1, kerr.InvalidTopicException.Code},
		{strings.Repeat("x", 250), 1, 1, kerr.InvalidTopicException.Code},
		{"no-partitions", 0, 1, kerr.InvalidPartitions.Code},
		{"too-many", 1_000_000, 1, kerr.InvalidPartitions.Code},
		{"no-replicas", 1, 0, kerr.InvalidReplicationFactor.Code},
		{"__consumer_offsets", 1, 1, kerr.TopicAlreadyExists.Code},
	} {
		request := kmsg.NewPtrCreateTopicsRequest()
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = q.name, q.partitions, int16(q.factor)
		request.Topics = append(request.Topics, t)
		if got := call[*kmsg.CreateTopicsResponse](l.dial("prod-1"), 7, request).Topics[0]; got.ErrorCode != q.code || said(got.ErrorMessage) == "" {
			l.t.Errorf("create %.20q with %d partitions: code %d, %q, want %d and why", q.name, q.partitions, got.ErrorCode, said(got.ErrorMessage), q.code)
		}
	}
	if _, err := l.admin("prod").ValidateCreateTopics(l.ctx, 3, -1, nil, "only-checked"); err != nil {
		l.t.Errorf("validate: %v", err)
	}
	found, err := l.admin("prod").ListTopics(l.ctx)
	if err != nil || found.Has("only-checked") || found.Has("no-partitions") {
		l.t.Errorf("what was refused or only checked is there: %v", err)
	}
}

func (l *lands) deleted() {
	l.create("doomed", 1)
	l.dial("prod-1").stored("doomed", recordtest.Batch(recordtest.Options{}))
	commitOffset(l.dial("analytics-1"), "mourners", "doomed", 1, "")
	answer, err := l.admin("prod").DeleteTopics(l.ctx, "doomed", "never-was", "__consumer_offsets")
	if err != nil {
		l.t.Fatal(err)
	}
	for name, want := range map[string]*kerr.Error{"doomed": nil, "never-was": kerr.UnknownTopicOrPartition, "__consumer_offsets": kerr.InvalidTopicException} {
		if got := answer[name].Err; (got == nil) != (want == nil) || want != nil && !strings.Contains(got.Error(), want.Message) {
			l.t.Errorf("delete %s: %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"prod-2", "analytics-2"} {
		shown := call[*kmsg.MetadataResponse](l.dial(name), 12, metadataOf("doomed", false)).Topics[0]
		if shown.ErrorCode != kerr.UnknownTopicOrPartition.Code {
			l.t.Errorf("%s still shows it: code %d", name, shown.ErrorCode)
		}
		if p := listOffset(l.dial(name), 7, "doomed", atLatest); p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
			l.t.Errorf("%s still knows its end: code %d", name, p.ErrorCode)
		}
	}
	if offset, _ := committedOffset(l.dial("analytics-1"), "mourners", "doomed"); offset != -1 {
		l.t.Errorf("its committed offsets are still there: %d", offset)
	}
}

func (l *lands) autoCreation() {
	l.addAgent("wild-1", "wild", rolesOf("produce", "fetch"))
	l.addAgent("tidy-1", "tidy", rolesOf("produce", "fetch"), func(c *agentConfig) { c.Broker.AutoCreate = false })
	for _, q := range []struct {
		agent  string
		topic  string
		client bool
		code   int16
	}{
		{"wild-1", "asked-for", true, 0},
		{"wild-1", "not-wanted", false, kerr.UnknownTopicOrPartition.Code},
		{"tidy-1", "not-allowed", true, kerr.UnknownTopicOrPartition.Code},
		{"wild-1", "bad name", true, kerr.InvalidTopicException.Code},
	} {
		shown := call[*kmsg.MetadataResponse](l.dial(q.agent), 12, metadataOf(q.topic, q.client)).Topics[0]
		if shown.ErrorCode != q.code || q.code == 0 && len(shown.Partitions) != 1 {
			l.t.Errorf("%s is asked for %q: code %d, %d partitions, want code %d", q.agent, q.topic, shown.ErrorCode, len(shown.Partitions), q.code)
		}
	}
	client := l.client("wild", kgo.AllowAutoTopicCreation())
	l.produce(client, texts("made-by-producing", "first")...)
	if got := values(l.read("made-by-producing", 1)); !slices.Equal(got, []string{"first"}) {
		l.t.Errorf("read %v", got)
	}
}

func (l *lands) internalTopicShown() {
	for _, name := range []string{"prod-1", "analytics-1"} {
		all := call[*kmsg.MetadataResponse](l.dial(name), 12, allTopics())
		one := call[*kmsg.MetadataResponse](l.dial(name), 12, metadataOf("__consumer_offsets", false))
		for _, topics := range [][]kmsg.MetadataResponseTopic{all.Topics, one.Topics} {
			i := slices.IndexFunc(topics, func(t kmsg.MetadataResponseTopic) bool { return said(t.Topic) == "__consumer_offsets" })
			if i < 0 || !topics[i].IsInternal || len(topics[i].Partitions) != 1 || topics[i].Partitions[0].Leader != all.ControllerID {
				l.t.Errorf("%s does not show the internal topic as its own", name)
			}
		}
		if p := listOffset(l.dial(name), 7, "__consumer_offsets", atLatest); p.ErrorCode != 0 || p.Offset != 0 {
			l.t.Errorf("%s: the internal topic ends at %d, code %d", name, p.Offset, p.ErrorCode)
		}
	}
	if p := l.dial("analytics-1").fetch(11, fetchOf(1, "__consumer_offsets", fetchPartition(0, 0)))[0]; p.ErrorCode != 0 || len(p.RecordBatches) != 0 {
		l.t.Errorf("fetch of the internal topic: code %d, %d bytes", p.ErrorCode, len(p.RecordBatches))
	}
}

func (l *lands) retention() {
	l.create("fleeting", 1, "retention.ms=1")
	l.create("narrow", 1, "retention.bytes=1")
	c := l.dial("prod-1")
	for range 3 {
		c.stored("fleeting", recordtest.Batch(recordtest.Options{Records: 2}))
		c.stored("narrow", recordtest.Batch(recordtest.Options{Records: 2}))
	}
	earliest := func(topic string) int64 { return listOffset(c, 7, topic, atEarliest).Offset }
	eventually(l.t, "records older than a millisecond are gone", func() bool { return earliest("fleeting") == 6 })
	eventually(l.t, "one entry is left of those beyond a byte", func() bool { return earliest("narrow") == 4 })
	for topic, end := range map[string]int64{"fleeting": 6, "narrow": 6} {
		if p := listOffset(c, 7, topic, atLatest); p.Offset != end {
			l.t.Errorf("%s ends at %d, want %d: retention never moves the end", topic, p.Offset, end)
		}
	}
	for _, name := range []string{"analytics-1", "analytics-2"} {
		reader := l.dial(name)
		if p := reader.fetch(11, fetchRequest("narrow", 0, 0))[0]; p.ErrorCode != kerr.OffsetOutOfRange.Code {
			l.t.Errorf("%s: a read below the log start: code %d, want 1", name, p.ErrorCode)
		}
		if p := reader.fetch(11, fetchRequest("narrow", 0, 4))[0]; p.ErrorCode != 0 || p.LogStartOffset != 4 || len(p.RecordBatches) == 0 {
			l.t.Errorf("%s: a read at the log start: code %d, log start %d, %d bytes", name, p.ErrorCode, p.LogStartOffset, len(p.RecordBatches))
		}
	}
}

func (l *lands) topicCommands() {
	if out := l.operate("topic", "create", "typed", "--partitions", "2", "--config", "retention.ms=3600000"); !strings.Contains(out, "typed") {
		l.t.Errorf("create says %q", out)
	}
	if out := l.operate("topic", "list"); !strings.Contains(out, "typed") || strings.Contains(out, "__consumer_offsets") {
		l.t.Errorf("list says\n%s", out)
	}
	l.operate("topic", "alter", "typed", "--partitions", "3", "--config", "max.message.bytes=5000")
	l.operate("topic", "alter", "typed", "--unset-config", "max.message.bytes")
	l.dial("prod-1").stored("typed", recordtest.Batch(recordtest.Options{Records: 5}))
	var described struct {
		Name, Share string
		Config      map[string]string
		Partitions  []struct {
			LogEnd int64 `json:"log_end"`
		}
	}
	if err := json.Unmarshal([]byte(l.operate("topic", "describe", "typed", "-o", "json")), &described); err != nil {
		l.t.Fatal(err)
	}
	if d := described; d.Name != "typed" || d.Share != "default" || len(d.Config) != 1 || d.Config["retention.ms"] != "3600000" || len(d.Partitions) != 3 || d.Partitions[0].LogEnd != 5 {
		l.t.Errorf("described: %+v", d)
	}
	if table := l.operate("topic", "describe", "typed"); !strings.Contains(table, "retention.ms=3600000") || !strings.Contains(table, "LOG END") {
		l.t.Errorf("described:\n%s", table)
	}
	control := []string{"--control", l.controlAddr()}
	refusal(l.t, 1, append([]string{"topic", "create", "typed"}, control...), "typed", "already exists")
	refusal(l.t, 1, append([]string{"topic", "create", "x", "--config", "retention.mss=1"}, control...), `did you mean "retention.ms"`)
	refusal(l.t, 1, append([]string{"topic", "alter", "typed", "--partitions", "1"}, control...), "3 partition(s)")
	refusal(l.t, 2, append([]string{"topic", "alter", "typed"}, control...), "--partitions", "--config")
	refusal(l.t, 2, append([]string{"topic", "create", "x", "--config", "retention.ms"}, control...), "KEY=VALUE")
	l.operate("topic", "delete", "typed")
	refusal(l.t, 1, append([]string{"topic", "describe", "typed"}, control...), "typed", "isthmus topic list")
}
