package coordinator

import "github.com/isthmusdata/isthmus/control/controlpb"

// RequestID names a parked request. The caller draws it; it never repeats
// within the life of a Machine.
type RequestID uint64

// Protocol is one assignment strategy that a member knows, with what it says to it.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Join is a JoinGroup request.
type Join struct {
	Request    RequestID
	Group      string
	Member     string // empty: not known yet
	Instance   string // empty: a dynamic member
	ClientID   string
	ClientHost string
	// Random makes the id of a new member: the caller draws it.
	Random string
	// RequireMember: a new dynamic member is sent back with its id first (v4+).
	RequireMember bool
	// SkipAssignment: a static leader that comes back may be told not to assign (v9+).
	SkipAssignment     bool
	SessionTimeoutMs   int32
	RebalanceTimeoutMs int32
	ProtocolType       string
	Protocols          []Protocol
}

// JoinReply answers a Join.
type JoinReply struct {
	Code           int16
	Generation     int32 // -1 with an error
	ProtocolType   string
	Protocol       string
	Leader         string
	Member         string
	SkipAssignment bool
	Members        []JoinMember // the leader's alone
}

// JoinMember is what the leader is told of each member.
type JoinMember struct {
	ID, Instance string
	Metadata     []byte
}

// Sync is a SyncGroup request.
type Sync struct {
	Request      RequestID
	Group        string
	Member       string
	Instance     string
	Generation   int32
	ProtocolType string // empty: not said (before v5)
	Protocol     string // empty: not said (before v5)
	Assignments  []Assignment
}

// Assignment is what the leader gives one member.
type Assignment struct {
	Member string
	Data   []byte
}

// SyncReply answers a Sync.
type SyncReply struct {
	Code         int16
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// Identity is who a Heartbeat or an offset commit comes from.
type Identity struct {
	Group      string
	Member     string
	Instance   string
	Generation int32
}

// Reply is one answer to one parked request: a JoinReply or a SyncReply.
type Reply struct {
	Request RequestID
	Join    *JoinReply
	Sync    *SyncReply
}

// Store asks for a command to be applied. Stores must be applied in the order
// in which Take gave them, and each answered by Persisted.
type Store struct {
	Token   uint64
	Command *controlpb.SyncGroupCommand
}

// Output is what came out of the machine since the last Take.
type Output struct {
	Replies []Reply
	Stores  []Store
}

// Kafka's codes, as this package answers them.
const (
	codeNone                 int16 = 0
	codeUnknownServer        int16 = -1
	codeCoordinatorAway      int16 = 15
	codeIllegalGeneration    int16 = 22
	codeInconsistentProtocol int16 = 23
	codeInvalidGroup         int16 = 24
	codeUnknownMember        int16 = 25
	codeInvalidSession       int16 = 26
	codeRebalance            int16 = 27
	codeInvalidRequest       int16 = 42
	codeNonEmptyGroup        int16 = 68
	codeGroupNotFound        int16 = 69
	codeMemberIDRequired     int16 = 79
	codeGroupMaxSize         int16 = 81
	codeFencedInstance       int16 = 82
)
