package control

import (
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Meta says whose state this is.
func (s *State) Meta() Meta { return s.limits.Meta }

// Limits are those in force.
func (s *State) Limits() Limits { return s.limits }

// Time is state time, Unix milliseconds.
func (s *State) Time() int64 { return s.time }

// Frozen says that the clock stands still until a person confirms the leader's.
func (s *State) Frozen() bool { return s.frozen }

// Term is the last leader's.
func (s *State) Term() uint64 { return s.term }

// TopicByName finds a topic.
func (s *State) TopicByName(name string) (topic.Topic, bool) {
	if name == OffsetsTopic {
		return offsetsTopic(), true
	}
	t, ok := s.topics.Get(name)
	if !ok {
		return topic.Topic{}, false
	}
	return t.topic, true
}

// TopicByID finds a topic.
func (s *State) TopicByID(id topic.ID) (topic.Topic, bool) {
	if t := offsetsTopic(); t.ID == id {
		return t, true
	}
	t, ok := s.topicByID[id]
	if !ok {
		return topic.Topic{}, false
	}
	return t.topic, true
}

// EachTopic calls f for every topic in the order of their names, the internal one included, until
// f returns false.
func (s *State) EachTopic(f func(topic.Topic) bool) {
	told, on := false, true
	s.topics.Scan(func(name string, t *topicEntry) bool {
		if !told && name > OffsetsTopic {
			told = true
			if on = f(offsetsTopic()); !on {
				return false
			}
		}
		on = f(t.topic)
		return on
	})
	if !told && on {
		f(offsetsTopic())
	}
}

// partition finds a partition; nil with ok is the internal topic's, which is always empty.
func (s *State) partition(p topic.Partition) (*partition, bool) {
	if t, ok := s.topicByID[p.Topic]; ok {
		if p.Index < 0 || int(p.Index) >= len(t.places) {
			return nil, false
		}
		return s.partitions.At(t.places[p.Index]), true
	}
	return nil, p.Topic == offsetsTopic().ID && p.Index == 0
}

// missing is the code for a partition that is not there: the topic is, or it is not.
func (s *State) missing(p topic.Partition) int16 {
	if _, ok := s.TopicByID(p.Topic); ok {
		return codeUnknownPartition
	}
	return codeUnknownTopicID
}

// Ends are the log start offset and the high watermark.
func (s *State) Ends(p topic.Partition) (logStart, highWatermark topic.Offset, ok bool) {
	x, ok := s.partition(p)
	if x == nil {
		return 0, 0, ok
	}
	return topic.Offset(x.logStart), topic.Offset(x.end), true
}

// MaxPlanLocations bounds the locations of one plan; what follows is another plan's.
const MaxPlanLocations = 4096

// Plan says where the records from offset on lie, up to the location that reaches maxBytes.
func (s *State) Plan(p topic.Partition, offset topic.Offset, maxBytes int64) segment.PartitionPlan {
	x, ok := s.partition(p)
	if !ok {
		return segment.PartitionPlan{Code: s.missing(p), LogStart: topic.NoOffset, HighWatermark: topic.NoOffset, LastStable: topic.NoOffset}
	}
	if x == nil {
		return segment.PartitionPlan{}
	}
	plan := segment.PartitionPlan{
		LogStart: topic.Offset(x.logStart), HighWatermark: topic.Offset(x.end), LastStable: topic.Offset(x.end),
	}
	if int64(offset) < x.logStart || int64(offset) >= x.end {
		return plan
	}
	for i, bytes := x.find(&s.blocks, int64(offset)), int64(0); i < x.entries && len(plan.Locations) < MaxPlanLocations; i++ {
		l := s.location(x, x.entry(&s.blocks, i))
		plan.Locations = append(plan.Locations, l)
		if bytes += int64(l.Length); bytes >= maxBytes {
			break
		}
	}
	return plan
}

// FindOffset finds an offset by time or by special timestamp. By time it is the first offset of
// the first entry that holds a record at least as late, never too late; In says where to look
// for the very record.
func (s *State) FindOffset(q segment.OffsetQuery) segment.OffsetFound {
	x, ok := s.partition(q.Partition)
	found := segment.OffsetFound{Offset: topic.NoOffset, Timestamp: -1}
	if !ok {
		found.Code = s.missing(q.Partition)
		return found
	}
	if x == nil {
		x = &partition{}
	}
	i, some := 0, false
	switch {
	case q.Timestamp >= 0:
		i, some = x.byTime(&s.blocks, q.Timestamp)
	case q.Timestamp == segment.TimestampMax:
		i, some = x.latest(&s.blocks)
	case q.Timestamp == segment.TimestampLatest:
		found.Offset = topic.Offset(x.end)
	case q.Timestamp == segment.TimestampEarliest, q.Timestamp == segment.TimestampEarliestLocal:
		found.Offset = topic.Offset(x.logStart)
	case q.Timestamp == segment.TimestampLatestTiered: // there are no tiers
	default:
		found.Code = codeInvalidRequest
	}
	if some {
		l := s.location(x, x.entry(&s.blocks, i))
		found.Offset, found.Timestamp, found.In = l.Base, l.MaxTimestamp, &l
	}
	return found
}

// Group finds a stored consumer group.
func (s *State) Group(name string) (Group, bool) {
	g, ok := s.groups.Get(name)
	if !ok {
		return Group{}, false
	}
	return g.export(), true
}

// EachGroup calls f for every stored consumer group in the order of their names, until f returns
// false.
func (s *State) EachGroup(f func(Group) bool) {
	s.groups.Scan(func(_ string, g *group) bool { return f(g.export()) })
}

func (g *group) export() Group {
	return Group{
		Name: g.name, ProtocolType: g.protocolType, Protocol: g.protocol, Generation: g.generation,
		Leader: g.leader, Members: g.members, Offsets: g.offsets.Len(),
	}
}

// Offset is what a group has committed for a partition.
func (s *State) Offset(group string, p topic.Partition) (CommittedOffset, bool) {
	g, ok := s.groups.Get(group)
	if !ok {
		return CommittedOffset{}, false
	}
	return g.offsets.Get(placeKey(p))
}

// EachOffset calls f for every offset of a group, by topic id and partition, until f returns false.
func (s *State) EachOffset(group string, f func(topic.Partition, CommittedOffset) bool) {
	if g, ok := s.groups.Get(group); ok {
		g.offsets.Scan(func(k string, o CommittedOffset) bool { return f(placeOfKey(k), o) })
	}
}

// Session is an agent's lease as others may see it.
type Session struct {
	ID      uint64
	Agent   string
	Group   string
	Roles   []string
	Zone    string
	Kafka   string
	Gossip  string
	Peer    string
	Version string
	NodeID  int32
	Started int64 // state time
	// Identity and Binding are by which it was let in; both empty: open.
	Identity string
	Binding  string
	Ended    bool
}

// Caller is the session as Allow knows it, without admin: that is of a token, not of a session.
func (x *Session) Caller() Caller {
	return Caller{
		Session: x.ID, Agent: x.Agent, Identity: x.Identity, Binding: x.Binding, Group: x.Group, Roles: x.Roles, Open: x.Binding == "",
	}
}

func (s *State) exportSession(x *session) Session {
	return Session{
		ID: x.id, Agent: x.agent, Group: s.words[x.group], Roles: x.roles, Zone: x.zone, Kafka: x.kafka,
		Gossip: x.gossip, Peer: x.peer, Version: x.version, NodeID: x.node, Started: x.started, Ended: x.ended,
		Identity: x.identity, Binding: x.binding,
	}
}

// Session finds a session that lives or whose answers are still kept.
func (s *State) Session(id uint64) (Session, bool) {
	x, ok := s.sessions.Get(id)
	if !ok {
		return Session{}, false
	}
	return s.exportSession(x), true
}

// EachSession calls f for every session that lives or whose answers are still kept, oldest first,
// until f returns false.
func (s *State) EachSession(f func(Session) bool) {
	s.sessions.Scan(func(_ uint64, x *session) bool { return f(s.exportSession(x)) })
}

// MaxSeeds is how many gossip addresses an agent is told at once, those of the latest agents: one that
// answers is enough, gossip finds the others.
const MaxSeeds = 32

// Seeds are gossip addresses of a group's live agents, the latest first.
func (s *State) Seeds(group string) []string {
	var seeds []string
	w, ok := s.wordOf[group]
	if !ok {
		return nil
	}
	s.sessions.Reverse(func(_ uint64, x *session) bool {
		if !x.ended && x.group == w && x.gossip != "" {
			seeds = append(seeds, x.gossip)
		}
		return len(seeds) < MaxSeeds
	})
	return seeds
}

// EachShare calls f for every share in the order of their names, until f returns false.
func (s *State) EachShare(f func(name, bucket string) bool) {
	s.shares.Scan(func(name string, sh share) bool { return f(name, sh.pb.GetBucket()) })
}

// EachDeadObject calls f for every object that waits for deletion, the longest waiting first,
// until f returns false.
func (s *State) EachDeadObject(f func(DeadObject) bool) {
	s.dead.Scan(func(_ uint64, o DeadObject) bool { return f(o) })
}

// Stats counts what the state holds.
type Stats struct {
	Topics, Partitions, Segments, DeadObjects int
	IndexEntries, LiveBytes                   int64
	Producers, ProducerIDs                    int
	Sessions, Groups, Offsets                 int
}

// Stats counts what the state holds; partitions of deleted topics count until they are freed.
func (s *State) Stats() Stats {
	return Stats{
		Topics: s.topics.Len(), Partitions: s.partitions.Len(), Segments: s.segments.used, DeadObjects: s.dead.Len(),
		IndexEntries: s.entries, LiveBytes: s.liveBytes,
		Producers: s.producers.Len(), ProducerIDs: s.producerIDs.Len(),
		Sessions: s.live, Groups: s.groups.Len(), Offsets: s.offsets,
	}
}
