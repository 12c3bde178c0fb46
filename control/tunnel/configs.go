package tunnel

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// configValue is a topic config with its value and where that comes from.
type configValue struct {
	key    topic.ConfigKey
	value  string
	source kmsg.ConfigSource
}

// topicConfigs lists the configs of a topic by name, each with its value.
func topicConfigs(tp topic.Topic) []configValue {
	var out []configValue
	for _, key := range topic.ConfigKeys() {
		v := configValue{key: key, value: key.Default, source: kmsg.ConfigSourceDefaultConfig}
		set, ok := tp.Overrides[key.Name]
		if key.Name == topic.ShareConfig {
			set, ok = tp.Share, tp.Share != "" && tp.Share != topic.DefaultShare
		}
		switch {
		case ok:
			v.value, v.source = set, kmsg.ConfigSourceDynamicTopicConfig
		case key.Legacy:
			continue // gone from Kafka 4: shown only where it is set
		}
		out = append(out, v)
	}
	return out
}

// brokerConfig is a config of the cluster that Kafka's clients know as a broker's.
// All are read-only here: they are set where the control plane is started.
type brokerConfig struct {
	name   string
	value  string
	kind   kmsg.ConfigType
	doc    string
	static bool // set by the operator, not Kafka's own default
}

// brokerConfigs lists what clients and tools ask of a broker and what is true
// here, by name.
func (t *Tunnel) brokerConfigs() []brokerConfig {
	co, def := t.cfg.Coordinator, Default()
	ms := func(d interface{ Milliseconds() int64 }) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	topicDefault := func(name string) string { k, _ := topic.LookupConfig(name); return k.Default }
	const (
		perTopic = " The default of the topic config "
		fixed    = "; not to be changed for the cluster."
	)
	out := []brokerConfig{
		{"auto.create.topics.enable", strconv.FormatBool(t.cfg.AutoCreate), kmsg.ConfigTypeBoolean, "Whether a topic is created when a client asks for it that may create it.", t.cfg.AutoCreate != def.AutoCreate},
		{"compression.type", topicDefault("compression.type"), kmsg.ConfigTypeString, "Batches are stored as the producer compressed them." + perTopic + "compression.type" + fixed, false},
		{"default.replication.factor", "1", kmsg.ConfigTypeInt, "Any replication factor is accepted and has no effect: records are as durable as the bucket.", false},
		{"delete.topic.enable", "true", kmsg.ConfigTypeBoolean, "Topics may be deleted.", false},
		{"group.initial.rebalance.delay.ms", ms(co.InitialRebalanceDelay), kmsg.ConfigTypeInt, "How long an empty consumer group waits for more members after its first one.", true},
		{"group.max.session.timeout.ms", ms(co.MaxSessionTimeout), kmsg.ConfigTypeInt, "The longest session timeout that a consumer may ask for.", co.MaxSessionTimeout != def.Coordinator.MaxSessionTimeout},
		{"group.max.size", strconv.Itoa(co.MaxMembers), kmsg.ConfigTypeInt, "The most members of a consumer group.", true},
		{"group.min.session.timeout.ms", ms(co.MinSessionTimeout), kmsg.ConfigTypeInt, "The shortest session timeout that a consumer may ask for.", co.MinSessionTimeout != def.Coordinator.MinSessionTimeout},
		{"log.cleanup.policy", topicDefault("cleanup.policy"), kmsg.ConfigTypeList, "Old records are deleted." + perTopic + "cleanup.policy" + fixed, false},
		{"log.message.timestamp.type", topicDefault("message.timestamp.type"), kmsg.ConfigTypeString, "Whose clock a timestamp shows." + perTopic + "message.timestamp.type" + fixed, false},
		{"log.retention.bytes", topicDefault("retention.bytes"), kmsg.ConfigTypeLong, "Bytes kept of each partition." + perTopic + "retention.bytes" + fixed, false},
		{"log.retention.ms", topicDefault("retention.ms"), kmsg.ConfigTypeLong, "How long records are kept." + perTopic + "retention.ms" + fixed, false},
		{"message.max.bytes", topicDefault("max.message.bytes"), kmsg.ConfigTypeInt, "The largest record batch." + perTopic + "max.message.bytes" + fixed, false},
		{"min.insync.replicas", topicDefault("min.insync.replicas"), kmsg.ConfigTypeInt, "Accepted and without effect: an acknowledged record is in the bucket and its place in a quorum's log.", false},
		{"num.partitions", strconv.Itoa(int(t.cfg.NumPartitions)), kmsg.ConfigTypeInt, "Partitions of a topic that does not say.", t.cfg.NumPartitions != def.NumPartitions},
		{"offset.metadata.max.bytes", strconv.Itoa(t.cfg.OffsetMetadataMaxBytes), kmsg.ConfigTypeInt, "The longest text beside a committed offset.", t.cfg.OffsetMetadataMaxBytes != def.OffsetMetadataMaxBytes},
		{"offsets.retention.minutes", strconv.Itoa(int(t.cfg.OffsetsRetention.Minutes())), kmsg.ConfigTypeInt, "How long offsets outlive a consumer group without members.", t.cfg.OffsetsRetention != def.OffsetsRetention},
	}
	return out
}
