package control

import (
	"slices"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// Roles that an agent may have.
const (
	RoleProduce = "produce"
	RoleFetch   = "fetch"
	RoleJobs    = "jobs"
)

// Caller is who asks: an agent by its session, or an operator's tool, which has none.
type Caller struct {
	Session  uint64 // 0: an operator's tool
	Agent    string // empty: an operator
	Identity string // as proven; empty: open
	Binding  string // by which it was let in; empty: an admin by certificate, or open
	Group    string
	Roles    []string
	Admin    bool
	Open     bool // admitted from loopback, for there are no bindings
}

// CallKind says what is asked for.
type CallKind uint8

const (
	// CallCommit places records in a share, or in a topic of it.
	CallCommit CallKind = iota + 1
	// CallPlan asks where records of a topic lie; watching asks the same.
	CallPlan
	// CallListOffsets asks for offsets of a topic.
	CallListOffsets
	// CallTopics asks for descriptions of topics, or has one created.
	CallTopics
	// CallMembership logs in, keeps a session or ends it.
	CallMembership
	// CallTunnel is a coordinator or admin request of Kafka's.
	CallTunnel
	// CallStatus asks how the control plane is.
	CallStatus
)

// Call is what is asked for. Share and Topic are empty where the call names none, or where it is
// asked before it is known which.
type Call struct {
	Kind  CallKind
	Share string
	Topic string
	Key   int16  // the Kafka API key of a CallTunnel
	Group string // the consumer group of a CallTunnel, if it is about one
}

// Decision answers a Call. Reason is for logs and people.
type Decision struct {
	Allowed bool
	Code    int16 // Kafka's; 0 when allowed
	Reason  string
}

// Allow is the one place that says who may do what (I6). It is pure, and asked on every call:
// streams ask it again for each message. It holds agents to their roles for the two calls by
// which data moves; everything else is allowed until there are grants, bindings and ACLs to ask.
func Allow(who Caller, what Call) Decision {
	switch what.Kind {
	case CallCommit:
		if !slices.Contains(who.Roles, RoleProduce) {
			return Decision{Code: codeTopicDenied, Reason: "only agents with the produce role commit"}
		}
	case CallPlan:
		// An operator's tool asks how far behind a consumer group is; it holds no bucket credentials.
		if who.Session != 0 && !slices.Contains(who.Roles, RoleFetch) && !slices.Contains(who.Roles, RoleJobs) {
			return Decision{Code: codeTopicDenied, Reason: "only agents with the fetch or jobs role plan"}
		}
	}
	return Decision{Allowed: true}
}

// Allow asks about a call on a partition; the code is Kafka's.
func (s *State) Allow(who Caller, kind CallKind, p topic.Partition) Decision {
	call := Call{Kind: kind}
	if t, ok := s.TopicByID(p.Topic); ok {
		call.Topic, call.Share = t.Name, t.Share
	}
	return Allow(who, call)
}
