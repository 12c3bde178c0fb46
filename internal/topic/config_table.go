package topic

import (
	"slices"
	"strings"
)

// ConfigType is a config's type, numbered as DescribeConfigs shows it.
type ConfigType int8

const (
	TypeBoolean ConfigType = 1
	TypeString  ConfigType = 2
	TypeInt     ConfigType = 3
	TypeLong    ConfigType = 5
	TypeDouble  ConfigType = 6
	TypeList    ConfigType = 7
)

// Effect says what a topic config does here.
type Effect int8

const (
	// Honoured configs do what Kafka's documentation says.
	Honoured Effect = iota
	// Accepted configs are checked, stored and described, and change nothing:
	// they tune a disk, a replica or a log cleaner that isthmus does not have.
	Accepted
	// Refused configs may only be set to their default, because anything else
	// would be a promise that isthmus does not keep.
	Refused
)

// ConfigKey is what is known of one topic config.
type ConfigKey struct {
	Name    string
	Type    ConfigType
	Default string
	Effect  Effect
	Doc     string
	// Reason says why a Refused key is refused.
	Reason string
	// Broker is the broker config that Kafka takes the default from; empty: none.
	Broker string
	// ReadOnly keys are given when the topic is created and never change.
	ReadOnly bool
	// Legacy keys are gone from Kafka 4 but still sent by older tools; they are
	// described only where they are set.
	Legacy bool

	check check
}

// ShareConfig is the config that puts a topic into a share, for good.
const ShareConfig = "isthmus.share"

// DefaultShare is the share of a topic that names none.
const DefaultShare = "default"

// ConfigKeys lists every known topic config by name.
func ConfigKeys() []ConfigKey { return slices.Clone(configTable) }

// LookupConfig finds a config by its exact name.
func LookupConfig(name string) (ConfigKey, bool) {
	i, ok := slices.BinarySearchFunc(configTable, name, func(k ConfigKey, name string) int {
		return strings.Compare(k.Name, name)
	})
	if !ok {
		return ConfigKey{}, false
	}
	return configTable[i], true
}

const (
	noDisk       = "Accepted and without effect: isthmus keeps records in objects of a bucket and has no log files on a disk. "
	noReplica    = "Accepted and without effect: isthmus has no replicas; an acknowledged record is in the bucket and its place in a quorum's log. "
	noCleaner    = "Accepted and without effect until compaction is served. "
	noRecompress = "Accepted and without effect: batches are stored as the producer compressed them. "
	tiered       = "isthmus keeps all records in the bucket; there is no local tier to copy from"
	forever      = "9223372036854775807"
)

// configTable holds every topic config of Apache Kafka 4, sorted by name, and
// ours. It is never written to.
var configTable = []ConfigKey{
	{Name: "cleanup.policy", Type: TypeList, Default: "delete", Broker: "log.cleanup.policy", check: cleanupPolicy,
		Doc: "What happens to old records. \"delete\" drops them by age and size. \"compact\" is refused: compaction is not served yet."},
	{Name: "compression.gzip.level", Type: TypeInt, Default: "-1", Effect: Accepted, Broker: "compression.gzip.level", check: gzipLevel,
		Doc: noRecompress + "In Kafka: the level for compression.type=gzip."},
	{Name: "compression.lz4.level", Type: TypeInt, Default: "9", Effect: Accepted, Broker: "compression.lz4.level", check: integer(1, 17),
		Doc: noRecompress + "In Kafka: the level for compression.type=lz4."},
	{Name: "compression.type", Type: TypeString, Default: "producer", Broker: "compression.type",
		check: oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
		Doc:   "\"producer\" keeps batches as the producer compressed them. Every other codec of Kafka is accepted for the sake of tools that set one, and changes nothing: batches are still stored as they came, and consumers read any codec. Set the codec at the producer."},
	{Name: "compression.zstd.level", Type: TypeInt, Default: "3", Effect: Accepted, Broker: "compression.zstd.level", check: integer(-131072, 22),
		Doc: noRecompress + "In Kafka: the level for compression.type=zstd."},
	{Name: "delete.retention.ms", Type: TypeLong, Default: "86400000", Effect: Accepted, Broker: "log.cleaner.delete.retention.ms", check: int64From(0),
		Doc: noCleaner + "In Kafka: how long the tombstones of a compacted topic are kept."},
	{Name: "errors.deadletterqueue.group.enable", Type: TypeBoolean, Default: "false", Effect: Refused, check: boolean,
		Reason: "share groups are not served",
		Doc:    "Only \"false\": whether share groups may send undeliverable records here. Share groups are not served."},
	{Name: "file.delete.delay.ms", Type: TypeLong, Default: "60000", Effect: Accepted, Broker: "log.segment.delete.delay.ms", check: int64From(0),
		Doc: noDisk + "In Kafka: the wait before a log file is removed."},
	{Name: "flush.messages", Type: TypeLong, Default: forever, Effect: Accepted, Broker: "log.flush.interval.messages", check: int64From(1),
		Doc: noDisk + "In Kafka: fsync after this many records. Here every acknowledged record is durable."},
	{Name: "flush.ms", Type: TypeLong, Default: forever, Effect: Accepted, Broker: "log.flush.interval.ms", check: int64From(0),
		Doc: noDisk + "In Kafka: fsync after this time. How often agents write objects is the agents' --flush-interval."},
	{Name: "follower.replication.throttled.replicas", Type: TypeList, Default: "", Effect: Accepted, check: throttledReplicas,
		Doc: noReplica + "In Kafka: the replicas whose fetching is throttled."},
	{Name: "index.interval.bytes", Type: TypeInt, Default: "4096", Effect: Accepted, Broker: "log.index.interval.bytes", check: int32From(0),
		Doc: noDisk + "In Kafka: bytes between two entries of the offset index."},
	{Name: "internal.segment.bytes", Type: TypeInt, Default: "1073741824", Effect: Accepted, Legacy: true, check: int32From(1),
		Doc: noDisk + "In Kafka: the size of a log file, for tests."},
	{Name: ShareConfig, Type: TypeString, Default: DefaultShare, ReadOnly: true, check: shareName,
		Doc: "The share that the topic belongs to: its records are stored only in objects of this share. Given when the topic is created, and for good."},
	{Name: "leader.replication.throttled.replicas", Type: TypeList, Default: "", Effect: Accepted, check: throttledReplicas,
		Doc: noReplica + "In Kafka: the replicas whose serving is throttled."},
	{Name: "local.retention.bytes", Type: TypeLong, Default: "-2", Effect: Refused, Broker: "log.local.retention.bytes", check: int64From(-2),
		Reason: tiered, Doc: "Only \"-2\": " + tiered + ". Use retention.bytes."},
	{Name: "local.retention.ms", Type: TypeLong, Default: "-2", Effect: Refused, Broker: "log.local.retention.ms", check: int64From(-2),
		Reason: tiered, Doc: "Only \"-2\": " + tiered + ". Use retention.ms."},
	{Name: "max.compaction.lag.ms", Type: TypeLong, Default: forever, Effect: Accepted, Broker: "log.cleaner.max.compaction.lag.ms", check: int64From(1),
		Doc: noCleaner + "In Kafka: the longest time that a record may wait for compaction."},
	{Name: "max.decompressed.message.bytes", Type: TypeInt, Default: "2147483639", Effect: Refused, check: int32From(0),
		Reason: "batches are not decompressed when they are produced, so no such limit is kept",
		Doc:    "Only its default: batches are not decompressed when they are produced, so no such limit is kept."},
	{Name: "max.message.bytes", Type: TypeInt, Default: "1048588", Broker: "message.max.bytes", check: int32From(0),
		Doc: "The largest record batch that is taken, in bytes as it was sent, after compression. A larger one is answered MESSAGE_TOO_LARGE."},
	{Name: "message.downconversion.enable", Type: TypeBoolean, Default: "true", Effect: Accepted, Legacy: true, Broker: "log.message.downconversion.enable", check: boolean,
		Doc: "Accepted and without effect: no client that needs older record formats is served. Gone from Kafka 4."},
	{Name: "message.format.version", Type: TypeString, Default: "3.0-IV1", Effect: Accepted, Legacy: true, Broker: "log.message.format.version", check: anyText,
		Doc: "Accepted and without effect: records are always in format version 2. Gone from Kafka 4."},
	{Name: "message.timestamp.after.max.ms", Type: TypeLong, Default: "3600000", Broker: "log.message.timestamp.after.max.ms", check: int64From(0),
		Doc: "How far a record's timestamp may be ahead of the agent's clock, in milliseconds, where message.timestamp.type=CreateTime. Beyond it the batch is answered INVALID_TIMESTAMP."},
	{Name: "message.timestamp.before.max.ms", Type: TypeLong, Default: forever, Broker: "log.message.timestamp.before.max.ms", check: int64From(0),
		Doc: "How far a record's timestamp may be behind the agent's clock, in milliseconds, where message.timestamp.type=CreateTime. Beyond it the batch is answered INVALID_TIMESTAMP."},
	{Name: "message.timestamp.difference.max.ms", Type: TypeLong, Default: forever, Legacy: true, Broker: "log.message.timestamp.difference.max.ms", check: int64From(0),
		Doc: "The older form of message.timestamp.before.max.ms and message.timestamp.after.max.ms: it stands for each of the two that is not set. Gone from Kafka 4."},
	{Name: "message.timestamp.type", Type: TypeString, Default: "CreateTime", Broker: "log.message.timestamp.type", check: oneOf("CreateTime", "LogAppendTime"),
		Doc: "Whose clock a record's timestamp shows: the producer's (CreateTime) or the agent's when it closes the object (LogAppendTime)."},
	{Name: "min.cleanable.dirty.ratio", Type: TypeDouble, Default: "0.5", Effect: Accepted, Broker: "log.cleaner.min.cleanable.ratio", check: decimal(0, 1),
		Doc: noCleaner + "In Kafka: how much of a log must be uncompacted before it is compacted."},
	{Name: "min.compaction.lag.ms", Type: TypeLong, Default: "0", Effect: Accepted, Broker: "log.cleaner.min.compaction.lag.ms", check: int64From(0),
		Doc: noCleaner + "In Kafka: the least time that a record stays uncompacted."},
	{Name: "min.insync.replicas", Type: TypeInt, Default: "1", Effect: Accepted, Broker: "min.insync.replicas", check: int32From(1),
		Doc: noReplica + "In Kafka: the replicas that must have a record before it is acknowledged."},
	{Name: "preallocate", Type: TypeBoolean, Default: "false", Effect: Accepted, Broker: "log.preallocate", check: boolean,
		Doc: noDisk + "In Kafka: whether log files are allocated at full size."},
	{Name: "remote.copy.lag.bytes", Type: TypeLong, Default: "0", Effect: Refused, Broker: "log.remote.copy.lag.bytes", check: int64From(-1),
		Reason: tiered, Doc: "Only \"0\": " + tiered + "."},
	{Name: "remote.copy.lag.ms", Type: TypeLong, Default: "0", Effect: Refused, Broker: "log.remote.copy.lag.ms", check: int64From(-1),
		Reason: tiered, Doc: "Only \"0\": " + tiered + "."},
	{Name: "remote.log.copy.disable", Type: TypeBoolean, Default: "false", Effect: Refused, check: boolean,
		Reason: tiered, Doc: "Only \"false\": " + tiered + "."},
	{Name: "remote.log.delete.on.disable", Type: TypeBoolean, Default: "false", Effect: Refused, check: boolean,
		Reason: tiered, Doc: "Only \"false\": " + tiered + "."},
	{Name: "remote.storage.enable", Type: TypeBoolean, Default: "false", Effect: Refused, check: boolean,
		Reason: tiered, Doc: "Only \"false\": " + tiered + "."},
	{Name: "retention.bytes", Type: TypeLong, Default: "-1", Broker: "log.retention.bytes", check: int64From(-1 << 63),
		Doc: "How many bytes of each partition are kept, counted as stored. Older records are dropped first. Negative: no bound by size."},
	{Name: "retention.ms", Type: TypeLong, Default: "604800000", Broker: "log.retention.ms", check: int64From(-1),
		Doc: "How long records are kept, in milliseconds. -1: no bound by age."},
	{Name: "segment.bytes", Type: TypeInt, Default: "1073741824", Effect: Accepted, Broker: "log.segment.bytes", check: int32From(14),
		Doc: noDisk + "In Kafka: the size of a log file."},
	{Name: "segment.index.bytes", Type: TypeInt, Default: "10485760", Effect: Accepted, Broker: "log.index.size.max.bytes", check: int32From(4),
		Doc: noDisk + "In Kafka: the size of an index file."},
	{Name: "segment.jitter.ms", Type: TypeLong, Default: "0", Effect: Accepted, Broker: "log.roll.jitter.ms", check: int64From(0),
		Doc: noDisk + "In Kafka: the spread of the times at which log files are closed."},
	{Name: "segment.ms", Type: TypeLong, Default: "604800000", Effect: Accepted, Broker: "log.roll.ms", check: int64From(1),
		Doc: noDisk + "In Kafka: the age at which a log file is closed."},
	{Name: "unclean.leader.election.enable", Type: TypeBoolean, Default: "false", Effect: Accepted, Broker: "unclean.leader.election.enable", check: boolean,
		Doc: noReplica + "In Kafka: whether a replica that lacks records may become leader."},
}
