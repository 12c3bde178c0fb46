package control

import (
	"errors"
	"fmt"
	"time"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// Meta says whose state this is. It never changes during an incarnation.
type Meta struct {
	Cluster     string // the first part of every key
	ClusterID   string // what Kafka clients are shown
	Incarnation uint32 // the cluster's life, from 1; every partition's leader epoch
}

// Limits is everything that decides inside the state beside its commands: what may grow how far
// (I10), and what is kept how long. All nodes must agree on it, for a replay under other limits
// would place what was refused (I11). Therefore a snapshot carries its limits, the command that
// opens a term brings the leader's (see Proto), and those given to NewState hold only until the
// first of them.
type Limits struct {
	Meta Meta

	MaxTopics           int   // further ones are refused with 44
	MaxPartitions       int   // of all topics; 37
	MaxTopicPartitions  int   // of one topic; 37
	MaxTopicConfigBytes int   // names and values of one topic's overrides; 44
	MaxIndexEntries     int   // rows are refused with 19 until retention has made room
	MaxSegments         int   // referenced objects; as above
	MaxDeadObjects      int   // the oldest is forgotten: the sweep finds it by itself
	MaxExtentBytes      int64 // rows of a segment merge into one entry up to this

	MaxProducers       int           // producer ids times partitions; new ones are refused with 19, ids with 14
	ProducerExpiration time.Duration // without a batch, a producer's window is forgotten
	ProducerIdle       time.Duration // no producer younger than this is evicted for another
	GapPatience        time.Duration // a gap is 19 until it has stood this long, then 45; longer than upload deadline and lease together

	MaxSessions   int           // live ones; 89
	MaxNodes      int           // agents remembered with their node ids; 89
	MaxNames      int           // agent groups and shares; 44
	MaxUnanswered int           // stored answers of one session and share; further commits are out of order
	MaxLosers     int           // hedges named by one commit
	AnswersKept   time.Duration // after their session ended
	NodesKept     time.Duration // an agent's node id, after its last session ended
	Lease         time.Duration // a session without a heartbeat ends
	Heartbeat     time.Duration

	MaxGroups         int           // consumer groups; 44
	MaxGroupBytes     int           // members, metadata and assignments of one group; 81
	MaxOffsets        int           // committed offsets of all groups; 44
	MaxOffsetMetadata int           // bytes of one; 12
	OffsetsRetention  time.Duration // of a group without members

	MaxGrants      int // 44
	MaxBindings    int // 44
	MaxJoinTokens  int // that wait to be used; 44
	MaxAuditEvents int // the oldest is forgotten
	MaxMeterRows   int // sums of what agents did; further ones are summed together, and of further sessions' shares not at all

	TickWork int // entries, producers and offsets that one tick may drop
}

// Default suits a control node with 16 GiB of memory.
func Default() Limits {
	return Limits{
		MaxTopics:           20_000,
		MaxPartitions:       200_000,
		MaxTopicPartitions:  10_000,
		MaxTopicConfigBytes: 16 << 10,
		MaxIndexEntries:     100_000_000,
		MaxSegments:         20_000_000,
		MaxDeadObjects:      1_000_000,
		MaxExtentBytes:      4 << 20,
		MaxProducers:        1_000_000,
		ProducerExpiration:  24 * time.Hour,
		ProducerIdle:        15 * time.Minute,
		GapPatience:         45 * time.Second,
		MaxSessions:         10_000,
		MaxNodes:            20_000,
		MaxNames:            2_000,
		MaxUnanswered:       1_024,
		MaxLosers:           8,
		AnswersKept:         10 * time.Minute,
		NodesKept:           time.Hour,
		Lease:               12 * time.Second,
		Heartbeat:           2 * time.Second,
		MaxGroups:           100_000,
		MaxGroupBytes:       8 << 20,
		MaxOffsets:          4_000_000,
		MaxOffsetMetadata:   4 << 10,
		OffsetsRetention:    7 * 24 * time.Hour,
		TickWork:            10_000,
		MaxGrants:           10_000,
		MaxBindings:         5_000,
		MaxJoinTokens:       1_000,
		MaxAuditEvents:      50_000,
		MaxMeterRows:        100_000,
	}
}

// Validate reports every fault at once.
func (l *Limits) Validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if l.Meta.Incarnation == 0 {
		bad("incarnation must be at least 1")
	}
	if err := segment.CheckName("cluster", l.Meta.Cluster); err != nil {
		faults = append(faults, err)
	}
	for _, f := range limitFields(l.Proto()) {
		if *f.value <= 0 || *f.value > f.most {
			bad("%s %d must be between 1 and %d", f.name, *f.value, f.most)
		}
	}
	if l.GapPatience <= l.Lease {
		bad("gap patience %s must be longer than the session lease %s", l.GapPatience, l.Lease)
	}
	if l.Heartbeat >= l.Lease {
		bad("heartbeat %s must be shorter than the session lease %s", l.Heartbeat, l.Lease)
	}
	if l.ProducerIdle > l.ProducerExpiration {
		bad("producer idle %s must not be longer than the producer expiration %s", l.ProducerIdle, l.ProducerExpiration)
	}
	return errors.Join(faults...)
}

// Proto is the limits as the command that opens a term carries them; durations are cut to
// milliseconds.
func (l *Limits) Proto() *controlpb.StateLimits {
	return &controlpb.StateLimits{
		MaxTopics:              int64(l.MaxTopics),
		MaxPartitions:          int64(l.MaxPartitions),
		MaxTopicPartitions:     int64(l.MaxTopicPartitions),
		MaxTopicConfigBytes:    int64(l.MaxTopicConfigBytes),
		MaxIndexEntries:        int64(l.MaxIndexEntries),
		MaxSegments:            int64(l.MaxSegments),
		MaxDeadObjects:         int64(l.MaxDeadObjects),
		MaxExtentBytes:         l.MaxExtentBytes,
		MaxProducers:           int64(l.MaxProducers),
		ProducerExpirationMs:   l.ProducerExpiration.Milliseconds(),
		ProducerIdleMs:         l.ProducerIdle.Milliseconds(),
		GapPatienceMs:          l.GapPatience.Milliseconds(),
		MaxSessions:            int64(l.MaxSessions),
		MaxNodes:               int64(l.MaxNodes),
		MaxNames:               int64(l.MaxNames),
		MaxUnanswered:          int64(l.MaxUnanswered),
		MaxLosers:              int64(l.MaxLosers),
		AnswersKeptMs:          l.AnswersKept.Milliseconds(),
		NodesKeptMs:            l.NodesKept.Milliseconds(),
		LeaseMs:                l.Lease.Milliseconds(),
		HeartbeatMs:            l.Heartbeat.Milliseconds(),
		MaxGroups:              int64(l.MaxGroups),
		MaxGroupBytes:          int64(l.MaxGroupBytes),
		MaxOffsets:             int64(l.MaxOffsets),
		MaxOffsetMetadataBytes: int64(l.MaxOffsetMetadata),
		OffsetsRetentionMs:     l.OffsetsRetention.Milliseconds(),
		TickWork:               int64(l.TickWork),
		MaxGrants:              int64(l.MaxGrants),
		MaxBindings:            int64(l.MaxBindings),
		MaxJoinTokens:          int64(l.MaxJoinTokens),
		MaxAuditEvents:         int64(l.MaxAuditEvents),
		MaxMeterRows:           int64(l.MaxMeterRows),
	}
}

// take replaces every limit that p gives a lawful value; others stay as they are. A limit of a
// later version that is absent in an old log keeps its default, and none can be made nonsense.
func (l *Limits) take(p *controlpb.StateLimits) {
	if p == nil {
		return
	}
	now := limitFields(l.Proto())
	for i, f := range limitFields(p) {
		if *f.value > 0 && *f.value <= f.most {
			*now[i].value = *f.value
		}
	}
	l.set(now[0].of)
}

func (l *Limits) set(p *controlpb.StateLimits) {
	ms := func(v int64) time.Duration { return time.Duration(v) * time.Millisecond }
	*l = Limits{
		Meta:                l.Meta,
		MaxTopics:           int(p.MaxTopics),
		MaxPartitions:       int(p.MaxPartitions),
		MaxTopicPartitions:  int(p.MaxTopicPartitions),
		MaxTopicConfigBytes: int(p.MaxTopicConfigBytes),
		MaxIndexEntries:     int(p.MaxIndexEntries),
		MaxSegments:         int(p.MaxSegments),
		MaxDeadObjects:      int(p.MaxDeadObjects),
		MaxExtentBytes:      p.MaxExtentBytes,
		MaxProducers:        int(p.MaxProducers),
		ProducerExpiration:  ms(p.ProducerExpirationMs),
		ProducerIdle:        ms(p.ProducerIdleMs),
		GapPatience:         ms(p.GapPatienceMs),
		MaxSessions:         int(p.MaxSessions),
		MaxNodes:            int(p.MaxNodes),
		MaxNames:            int(p.MaxNames),
		MaxUnanswered:       int(p.MaxUnanswered),
		MaxLosers:           int(p.MaxLosers),
		AnswersKept:         ms(p.AnswersKeptMs),
		NodesKept:           ms(p.NodesKeptMs),
		Lease:               ms(p.LeaseMs),
		Heartbeat:           ms(p.HeartbeatMs),
		MaxGroups:           int(p.MaxGroups),
		MaxGroupBytes:       int(p.MaxGroupBytes),
		MaxOffsets:          int(p.MaxOffsets),
		MaxOffsetMetadata:   int(p.MaxOffsetMetadataBytes),
		OffsetsRetention:    ms(p.OffsetsRetentionMs),
		TickWork:            int(p.TickWork),
		MaxGrants:           int(p.MaxGrants),
		MaxBindings:         int(p.MaxBindings),
		MaxJoinTokens:       int(p.MaxJoinTokens),
		MaxAuditEvents:      int(p.MaxAuditEvents),
		MaxMeterRows:        int(p.MaxMeterRows),
	}
}

type limitField struct {
	of    *controlpb.StateLimits
	name  string
	value *int64
	most  int64
}

// What a slot or a count of 32 bits can hold, a year in milliseconds, and a size in bytes.
const (
	mostCount = 1 << 30
	mostMs    = 366 * 24 * 60 * 60 * 1000
	mostBytes = 1 << 31
)

// limitFields lists the limits of p in the order of their numbers; it is also the order in which
// a snapshot holds them, so new ones are added at the end.
func limitFields(p *controlpb.StateLimits) []limitField {
	f := func(name string, value *int64, most int64) limitField { return limitField{p, name, value, most} }
	return []limitField{
		f("max topics", &p.MaxTopics, mostCount),
		f("max partitions", &p.MaxPartitions, mostCount),
		f("max topic partitions", &p.MaxTopicPartitions, mostCount),
		f("max topic config bytes", &p.MaxTopicConfigBytes, mostBytes),
		f("max index entries", &p.MaxIndexEntries, mostCount),
		f("max segments", &p.MaxSegments, mostCount),
		f("max dead objects", &p.MaxDeadObjects, mostCount),
		f("max extent bytes", &p.MaxExtentBytes, mostBytes),
		f("max producers", &p.MaxProducers, mostCount),
		f("producer expiration ms", &p.ProducerExpirationMs, mostMs),
		f("producer idle ms", &p.ProducerIdleMs, mostMs),
		f("gap patience ms", &p.GapPatienceMs, mostMs),
		f("max sessions", &p.MaxSessions, mostCount),
		f("max nodes", &p.MaxNodes, mostCount),
		f("max names", &p.MaxNames, 1<<16-1),
		f("max unanswered", &p.MaxUnanswered, mostCount),
		f("max losers", &p.MaxLosers, mostCount),
		f("answers kept ms", &p.AnswersKeptMs, mostMs),
		f("nodes kept ms", &p.NodesKeptMs, mostMs),
		f("lease ms", &p.LeaseMs, mostMs),
		f("heartbeat ms", &p.HeartbeatMs, mostMs),
		f("max groups", &p.MaxGroups, mostCount),
		f("max group bytes", &p.MaxGroupBytes, mostBytes),
		f("max offsets", &p.MaxOffsets, mostCount),
		f("max offset metadata bytes", &p.MaxOffsetMetadataBytes, mostBytes),
		f("offsets retention ms", &p.OffsetsRetentionMs, 100*mostMs),
		f("tick work", &p.TickWork, mostCount),
		f("max grants", &p.MaxGrants, mostCount),
		f("max bindings", &p.MaxBindings, mostCount),
		f("max join tokens", &p.MaxJoinTokens, mostCount),
		f("max audit events", &p.MaxAuditEvents, mostCount),
		f("max meter rows", &p.MaxMeterRows, mostCount),
	}
}

// passed says whether d has passed from since to now.
func passed(now, since int64, d time.Duration) bool { return now-since >= d.Milliseconds() }
