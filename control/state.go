package control

import (
	"github.com/tidwall/btree"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/cow"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// State is everything the control plane decides by. Apply changes it, reads look at it, Snapshot
// marks it.
//
// What a snapshot must see stands in arrays of package cow, in ordered maps that copy in a
// moment, or behind pointers that carry the generation in which they were made (see own).
// The plain maps only find places in those; they are rebuilt when a snapshot is read, and
// nothing is ever decided by their order.
type State struct {
	limits Limits
	gen    uint64 // rises with every snapshot

	time      int64
	frozenAt  int64 // the clock while frozen
	frozen    bool
	electedAt int64
	term      uint64

	words  []string // names of shares and agent groups, by the number that stands for them
	wordOf map[string]uint16
	shares btree.Map[string, share]

	// The walls. walls rises with each change of them; grantsOf and bound follow from the maps.
	walls       uint64
	agentGroups btree.Map[string, *controlpb.AgentGroup]
	grants      btree.Map[string, *grant]
	grantsOf    map[string][]*grant // by group, in the order of their names
	bindings    btree.Map[string, *binding]
	bound       int                                     // bindings that operators have made
	joinTokens  btree.Map[string, *controlpb.JoinToken] // by hash
	gossip      btree.Map[string, *gossipKeys]          // by group

	audit     btree.Map[uint64, *controlpb.AuditEvent] // by number, oldest first
	nextEvent uint64

	meter      btree.Map[string, []int64] // what agents did, by meterKey; lists are never changed
	told       btree.Map[string, []int64] // what each session told of each share, by toldKey
	meterSince int64                      // when the first session began that told anything; 0: none did

	topics        btree.Map[string, *topicEntry] // by name
	topicByID     map[topic.ID]*topicEntry
	partitions    cow.List[partition, *partition]
	dying         []uint32 // places of partitions of deleted topics, oldest first
	nextPartition uint64
	partitionsOf  map[string]int64 // of topics that are not deleted, by the group that created them

	blocks    cow.Pool[extent]
	segments  segmentTable
	dead      btree.Map[uint64, DeadObject] // by number, oldest first
	nextDead  uint64
	entries   int64
	liveBytes int64

	producers    cow.List[producer, *producer] // longest idle first
	producerIDs  cow.List[idEntry, *idEntry]   // longest unseen first
	producerAt   map[producerKey]uint32        // places in producers
	idAt         map[int64]uint32              // places in producerIDs
	ownIDs       idRows                        // places in producerIDs, by the group whose they are
	nextProducer int64
	marks        []mintMark

	sessions    btree.Map[uint64, *session]
	live        int              // sessions that have not ended
	liveOf      map[uint16]int32 // of them, by group
	nextSession uint64
	nodes       btree.Map[string, node] // by group and agent
	nextNode    int32

	groups  btree.Map[string, *group]
	offsets int // committed ones, of all groups

	agenda *btree.BTreeG[due]
}

// NewState returns the empty state of a cluster. Limits that Validate refuses are the caller's
// mistake; they are used as they are.
func NewState(limits Limits) *State {
	return &State{
		limits:       limits,
		wordOf:       map[string]uint16{},
		grantsOf:     map[string][]*grant{},
		liveOf:       map[uint16]int32{},
		topicByID:    map[topic.ID]*topicEntry{},
		partitions:   cow.NewList[partition](),
		segments:     segmentTable{free: cow.None},
		producers:    cow.NewList[producer](),
		producerIDs:  cow.NewList[idEntry](),
		producerAt:   map[producerKey]uint32{},
		idAt:         map[int64]uint32{},
		ownIDs:       newIDRows(),
		partitionsOf: map[string]int64{},
		nextProducer: firstProducer,
		nextSession:  1,
		nextNode:     1,
		agenda:       newAgenda(),
	}
}

// Result is the answer to a command. What it holds is shared with the state: it is for reading.
type Result struct {
	// Code is Kafka's error code; 0 is success. A commit's fate is in Reply alone.
	Code int16
	// Reason says for people why Code is not 0, where it needs saying.
	Reason string
	// Codes answers CommitOffsets and DeleteOffsets, one for each offset asked for.
	Codes []int16
	// Reply answers a commit.
	Reply segment.Reply
	// Login answers a login; nil when Code is not 0.
	Login *controlpb.LoginResponse
	// ProducerID and ProducerEpoch answer InitProducer.
	ProducerID    int64
	ProducerEpoch int16
	// TopicID answers CreateTopic: the new topic's, or the one that has the name already.
	TopicID topic.ID
	// Binding answers ConsumeToken.
	Binding *controlpb.Binding
	// Events is what watchers must hear, in order.
	Events []segment.Event
}

// clock is the time by which things expire.
func (s *State) clock() int64 {
	if s.frozen {
		return s.frozenAt
	}
	return s.time
}

// word returns the number of a name, giving it one if there is room.
func (s *State) word(name string) (uint16, bool) {
	if w, ok := s.wordOf[name]; ok {
		return w, true
	}
	if len(s.words) >= s.limits.MaxNames {
		return 0, false
	}
	w := uint16(len(s.words))
	s.words = append(s.words, name)
	s.wordOf[name] = w
	return w, true
}
