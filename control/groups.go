package control

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/tidwall/btree"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Member is a member of a classic consumer group, as it was when the group was last in sync.
type Member struct {
	ID                 string
	InstanceID         string // empty: none
	ClientID           string
	ClientHost         string
	SessionTimeoutMs   int32
	RebalanceTimeoutMs int32
	Assignment         []byte
	Protocols          []Protocol
}

// Protocol is one that a member can speak, with its metadata.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Group is a classic consumer group as its last sync left it; who is alive is the coordinator's
// to know. A group that only commits offsets has no members, no protocol and generation 0.
type Group struct {
	Name         string
	ProtocolType string
	Protocol     string
	Generation   int32
	Leader       string
	Members      []Member
	Offsets      int // committed ones
}

// CommittedOffset is what a group has committed for a partition.
type CommittedOffset struct {
	Offset      topic.Offset
	LeaderEpoch int32
	Metadata    string
	At          int64 // state time
}

// group is a stored consumer group.
type group struct {
	gen          uint64
	name         string
	protocolType string
	protocol     string
	generation   int32
	leader       string
	members      []Member
	emptySince   int64 // state time at which the last members went; 0: it never had any
	offsets      btree.Map[string, CommittedOffset]
	due          int64 // when the agenda has its next expiry, or never
}

// maxGroupName bounds consumer group names, in bytes. Kafka has no bound but the frame's.
const maxGroupName = 1024

// placeKey is a partition as a key whose order is that of topic and index.
func placeKey(p topic.Partition) string {
	var b [20]byte
	copy(b[:], p.Topic[:])
	binary.BigEndian.PutUint32(b[16:], uint32(p.Index))
	return string(b[:])
}

func placeOfKey(k string) (p topic.Partition) {
	copy(p.Topic[:], k)
	p.Index = int32(binary.BigEndian.Uint32([]byte(k[16:20])))
	return p
}

// mutGroup returns a known group for writing: itself if it was made after the last snapshot,
// else a copy that takes its place.
func (s *State) mutGroup(name string) *group {
	g, _ := s.groups.Get(name)
	if g.gen == s.gen {
		return g
	}
	c := *g
	c.gen = s.gen
	c.offsets = *g.offsets.Copy()
	s.groups.Set(name, &c)
	return &c
}

// openGroup returns a group for writing, making it if there is room.
func (s *State) openGroup(name string) (*group, int16) {
	if _, ok := s.groups.Get(name); ok {
		return s.mutGroup(name), 0
	}
	if name == "" || len(name) > maxGroupName {
		return nil, codeInvalidGroup
	}
	if s.groups.Len() >= s.limits.MaxGroups {
		return nil, codePolicy
	}
	g := &group{gen: s.gen, name: name, due: never}
	s.groups.Set(name, g)
	return g, 0
}

// syncGroup stores a group as its leader has assigned it. Members that are given away entirely
// leave an empty group, whose offsets expire in time and whose generation is kept.
func (s *State) syncGroup(c *controlpb.SyncGroupCommand) int16 {
	if groupBytes(c) > s.limits.MaxGroupBytes {
		return codeGroupTooLarge
	}
	g, code := s.openGroup(c.GetGroup())
	if code != 0 {
		return code
	}
	if len(c.GetMembers()) == 0 && (len(g.members) > 0 || g.emptySince == 0) {
		g.emptySince = s.time
	}
	g.protocolType, g.protocol = c.GetProtocolType(), c.GetProtocol()
	g.generation, g.leader = c.GetGeneration(), c.GetLeader()
	g.members = nil
	for _, m := range c.GetMembers() {
		g.members = append(g.members, newMember(m))
	}
	s.replanGroup(g)
	return 0
}

func newMember(m *controlpb.GroupMember) Member {
	x := Member{
		ID: m.GetId(), InstanceID: m.GetInstanceId(), ClientID: m.GetClientId(), ClientHost: m.GetClientHost(),
		SessionTimeoutMs: m.GetSessionTimeoutMs(), RebalanceTimeoutMs: m.GetRebalanceTimeoutMs(),
		Assignment: slices.Clone(m.GetAssignment()),
	}
	for _, p := range m.GetProtocols() {
		x.Protocols = append(x.Protocols, Protocol{Name: p.GetName(), Metadata: slices.Clone(p.GetMetadata())})
	}
	return x
}

func groupBytes(c *controlpb.SyncGroupCommand) int {
	n := len(c.GetProtocolType()) + len(c.GetProtocol()) + len(c.GetLeader())
	for _, m := range c.GetMembers() {
		n += len(m.GetId()) + len(m.GetInstanceId()) + len(m.GetClientId()) + len(m.GetClientHost()) + len(m.GetAssignment()) + 64
		for _, p := range m.GetProtocols() {
			n += len(p.GetName()) + len(p.GetMetadata()) + 32
		}
	}
	return n
}

func (s *State) deleteGroup(name string) int16 {
	g, ok := s.groups.Get(name)
	switch {
	case !ok:
		return codeGroupNotFound
	case len(g.members) > 0:
		return codeNonEmptyGroup
	}
	s.removeGroup(g)
	return 0
}

func (s *State) removeGroup(g *group) {
	g = s.mutGroup(g.name)
	s.offsets -= g.offsets.Len()
	s.setGroupDue(g, never)
	s.groups.Delete(g.name)
}

// commitOffsets stores offsets of any groups; of two for the same place the last one wins.
func (s *State) commitOffsets(c *controlpb.CommitOffsetsCommand) []int16 {
	codes := make([]int16, len(c.GetOffsets()))
	for i, o := range c.GetOffsets() {
		codes[i] = s.commitOffset(o)
	}
	return codes
}

func (s *State) commitOffset(o *controlpb.GroupOffset) int16 {
	id, _ := topicID(o.GetTopicId())
	t, known := s.topicByID[id]
	switch {
	case !known || o.GetPartition() < 0 || int(o.GetPartition()) >= len(t.places):
		return codeUnknownPartition
	case len(o.GetMetadata()) > s.limits.MaxOffsetMetadata:
		return codeMetadataTooLarge
	}
	key := placeKey(topic.Partition{Topic: id, Index: o.GetPartition()})
	have, exists := s.groups.Get(o.GetGroup())
	if s.offsets >= s.limits.MaxOffsets {
		if !exists {
			return codePolicy
		}
		if _, replaces := have.offsets.Get(key); !replaces {
			return codePolicy
		}
	}
	g, code := s.openGroup(o.GetGroup())
	if code != 0 {
		return code
	}
	_, replaced := g.offsets.Set(key, CommittedOffset{
		Offset: topic.Offset(o.GetOffset()), LeaderEpoch: o.GetLeaderEpoch(), Metadata: o.GetMetadata(), At: s.time,
	})
	if !replaced {
		s.offsets++
	}
	s.replanGroup(g)
	return 0
}

// deleteOffsets forgets offsets of one group. Deleting what is not there succeeds.
func (s *State) deleteOffsets(c *controlpb.DeleteOffsetsCommand) (int16, []int16) {
	if _, ok := s.groups.Get(c.GetGroup()); !ok {
		return codeGroupNotFound, nil
	}
	g := s.mutGroup(c.GetGroup())
	codes := make([]int16, len(c.GetPartitions()))
	for i, p := range c.GetPartitions() {
		id, ok := topicID(p.GetTopicId())
		if !ok {
			codes[i] = codeUnknownPartition
			continue
		}
		if _, had := g.offsets.Delete(placeKey(topic.Partition{Topic: id, Index: p.GetIndex()})); had {
			s.offsets--
		}
	}
	s.replanGroup(g)
	return 0, codes
}

// dropOffsetsOfTopic forgets what any group has committed for a topic.
func (s *State) dropOffsetsOfTopic(id topic.ID) {
	prefix := string(id[:])
	for _, name := range s.groups.Keys() {
		g, _ := s.groups.Get(name)
		var keys []string
		g.offsets.Ascend(prefix, func(k string, _ CommittedOffset) bool {
			if !strings.HasPrefix(k, prefix) {
				return false
			}
			keys = append(keys, k)
			return true
		})
		if len(keys) == 0 {
			continue
		}
		g = s.mutGroup(name)
		for _, k := range keys {
			g.offsets.Delete(k)
		}
		s.offsets -= len(keys)
		s.replanGroup(g)
	}
}

// emptyGroupKept is how long a group without members and offsets is remembered, in milliseconds.
const emptyGroupKept = 10 * minute

// expiryOf is when an offset of a group without members expires.
func (s *State) expiryOf(g *group, o CommittedOffset) int64 {
	return max(o.At, g.emptySince) + s.limits.OffsetsRetention.Milliseconds()
}

// replanGroup writes into the agenda when the group is next looked at: never while it has
// members; else not later than its first offset expires. It may be earlier, for an offset that
// is committed again lives on: to find the exact time at every commit would be a search each
// time. The time is a part of the state, so that all nodes look at the same one.
func (s *State) replanGroup(g *group) {
	at := int64(never)
	if len(g.members) == 0 {
		at = g.due
		switch {
		case g.offsets.Len() == 0:
			at = min(at, s.time+emptyGroupKept)
		case at == never:
			at = s.time + s.limits.OffsetsRetention.Milliseconds()
		}
	}
	s.setGroupDue(g, at)
}

func (s *State) setGroupDue(g *group, at int64) {
	if at == g.due {
		return
	}
	if g.due != never {
		s.agenda.Delete(due{at: g.due, kind: dueOffsets, name: g.name})
	}
	g.due = at
	if at != never {
		s.agenda.Set(due{at: at, kind: dueOffsets, name: g.name})
	}
}

// expireOffsets drops what has expired of a group, at most work offsets, and returns how many
// steps it took. A group of which nothing is left goes too.
func (s *State) expireOffsets(name string, work int) (done int) {
	g := s.mutGroup(name)
	var expired []string
	next := int64(never)
	g.offsets.Scan(func(k string, o CommittedOffset) bool {
		at := s.expiryOf(g, o)
		if at > s.time {
			next = min(next, at)
			return true
		}
		expired = append(expired, k)
		return len(expired) < work
	})
	for _, k := range expired {
		g.offsets.Delete(k)
	}
	s.offsets -= len(expired)
	switch {
	case g.offsets.Len() == 0:
		s.setGroupDue(g, never)
		s.groups.Delete(name)
	case len(expired) < work:
		s.setGroupDue(g, next)
	}
	return max(len(expired), 1)
}
