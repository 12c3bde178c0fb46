package control

import (
	"maps"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/cow"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// topicEntry is a topic and the places of its partitions. It is never changed, only replaced, but for what it remembers
// of grants.
type topicEntry struct {
	topic  topic.Topic
	places []uint32
	// creator is the group of agents through which it was created, against whose quota its partitions count; empty: none.
	creator string
	passes  [passSlots]pass
}

// OffsetsTopic is the name of the topic that Kafka's clients expect to exist. It is always there,
// has one partition, and is always empty: committed offsets are part of the state.
const OffsetsTopic = "__consumer_offsets"

// offsetsTopic describes it; its id is its name in bytes.
func offsetsTopic() topic.Topic {
	t := topic.Topic{Name: OffsetsTopic, Partitions: 1, Internal: true, Config: topic.DefaultConfig()}
	copy(t.ID[:], "isthmus-offsets\x01")
	return t
}

func (s *State) createTopic(c *controlpb.CreateTopicCommand, r *Result) {
	name := c.GetName()
	id, ok := topicID(c.GetId())
	if have, exists := s.topics.Get(name); exists {
		r.TopicID, r.Code = have.topic.ID, codeTopicExists
		return
	}
	if r.Code = s.checkNewTopic(c); r.Code != 0 {
		return
	}
	if why := s.checkPartitionQuota(c.GetGroup(), int(c.GetPartitions())); why.code != 0 {
		r.refuse(why)
		return
	}
	if _, taken := s.topicByID[id]; !ok || taken || id.IsZero() || id == offsetsTopic().ID {
		r.Code = codeInvalidRequest
		return
	}
	config, code := s.parseConfig(c.GetConfig())
	if code != 0 {
		r.Code = code
		return
	}
	t := topic.Topic{
		Name: name, ID: id, Share: c.GetShare(), Config: config, Overrides: maps.Clone(c.GetConfig()),
	}
	s.putTopic(s.grow(&topicEntry{topic: t, creator: c.GetGroup()}, c.GetPartitions()))
	s.countPartitions(c.GetGroup(), int(c.GetPartitions()))
	r.TopicID = id
}

// checkNewTopic returns the code that refuses a topic, or 0.
func (s *State) checkNewTopic(c *controlpb.CreateTopicCommand) int16 {
	n := int(c.GetPartitions())
	switch _, known := s.shares.Get(c.GetShare()); {
	case c.GetGroup() != "" && !lawfulName(c.GetGroup()):
		return codeInvalidRequest
	case topic.CheckName(c.GetName()) != nil, c.GetName() == OffsetsTopic:
		return codeInvalidTopic
	case n <= 0, n > s.limits.MaxTopicPartitions, s.partitions.Len()+n > s.limits.MaxPartitions:
		return codeInvalidPartitions
	case !known:
		return codeInvalidConfig // isthmus.share names none
	case s.topics.Len() >= s.limits.MaxTopics:
		return codePolicy
	}
	return 0
}

func (s *State) parseConfig(overrides map[string]string) (topic.Config, int16) {
	size := 0
	for k, v := range overrides {
		size += len(k) + len(v)
	}
	if size > s.limits.MaxTopicConfigBytes {
		return topic.Config{}, codePolicy
	}
	c, err := topic.ParseConfig(overrides)
	if err != nil {
		return topic.Config{}, codeInvalidConfig
	}
	return c, 0
}

// grow returns the topic with n partitions; the new ones are empty.
func (s *State) grow(t *topicEntry, n int32) *topicEntry {
	grown := &topicEntry{topic: t.topic, places: append([]uint32(nil), t.places...), creator: t.creator}
	grown.topic.Partitions = n
	for i := int32(len(t.places)); i < n; i++ {
		s.nextPartition++
		grown.places = append(grown.places, s.partitions.Push(partition{
			topic: t.topic.ID, index: i, number: s.nextPartition, tail: cow.None, due: never,
		}))
	}
	return grown
}

func (s *State) putTopic(t *topicEntry) {
	s.topics.Set(t.topic.Name, t)
	s.topicByID[t.topic.ID] = t
}

// lookup finds a topic that may be changed. The code is 17 for the internal one.
func (s *State) lookup(id []byte) (*topicEntry, int16) {
	t, ok := topicID(id)
	if ok && t == offsetsTopic().ID {
		return nil, codeInvalidTopic
	}
	have := s.topicByID[t]
	if !ok || have == nil {
		return nil, codeUnknownTopicID
	}
	return have, 0
}

// deleteTopic makes a topic unknown at once, with its committed offsets. Its entries are freed by
// ticks, so that the deletion of a large topic does not stop the sequencer.
func (s *State) deleteTopic(c *controlpb.DeleteTopicCommand, r *Result) {
	t, code := s.lookup(c.GetId())
	if code != 0 {
		r.Code = code
		return
	}
	r.TopicID = t.topic.ID
	s.countPartitions(t.creator, -len(t.places))
	s.topics.Delete(t.topic.Name)
	delete(s.topicByID, t.topic.ID)
	for _, place := range t.places {
		p := s.partitions.Mut(place)
		if p.due != never {
			s.agenda.Delete(due{at: p.due, kind: dueRetention, number: p.number})
			p.due = never
		}
		s.dying = append(s.dying, place)
		r.Events = append(r.Events, segment.Event{
			Partition: topic.Partition{Topic: p.topic, Index: p.index}, Removed: true,
		})
	}
	s.dropOffsetsOfTopic(t.topic.ID)
}

// checkPartitionQuota refuses a group more partitions than its quota allows, of all topics that it created.
func (s *State) checkPartitionQuota(group string, more int) refused {
	if most := s.Quota(group).GetPartitions(); most > 0 && s.partitionsOf[group]+int64(more) > most {
		return refuse(codePolicy, "group %q may have %d partitions by its quota: it has %d, and %d more are asked for", group, most, s.partitionsOf[group], more)
	}
	return refused{}
}

func (s *State) countPartitions(group string, n int) {
	if group == "" {
		return
	}
	if s.partitionsOf[group] += int64(n); s.partitionsOf[group] == 0 {
		delete(s.partitionsOf, group)
	}
}

// PartitionsOf counts the partitions of the topics that a group created.
func (s *State) PartitionsOf(group string) int64 { return s.partitionsOf[group] }

func (s *State) createPartitions(c *controlpb.CreatePartitionsCommand, r *Result) {
	t, code := s.lookup(c.GetId())
	if code != 0 {
		r.Code = code
		return
	}
	have, n := len(t.places), int(c.GetPartitions())
	if n <= have || n > s.limits.MaxTopicPartitions || s.partitions.Len()+n-have > s.limits.MaxPartitions {
		r.Code = codeInvalidPartitions
		return
	}
	if why := s.checkPartitionQuota(t.creator, n-have); why.code != 0 {
		r.refuse(why)
		return
	}
	s.putTopic(s.grow(t, c.GetPartitions()))
	s.countPartitions(t.creator, n-have)
}

func (s *State) alterTopicConfig(c *controlpb.AlterTopicConfigCommand) int16 {
	t, code := s.lookup(c.GetId())
	if code != 0 {
		return code
	}
	config, code := s.parseConfig(c.GetConfig())
	if code != 0 {
		return code
	}
	changed := &topicEntry{topic: t.topic, places: t.places, creator: t.creator}
	changed.topic.Config, changed.topic.Overrides = config, maps.Clone(c.GetConfig())
	s.putTopic(changed)
	for _, place := range changed.places {
		s.replan(place, changed)
	}
	return 0
}
