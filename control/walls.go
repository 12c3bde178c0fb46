package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Roles that an agent may have.
const (
	RoleProduce = "produce"
	RoleFetch   = "fetch"
	RoleJobs    = "jobs"
)

// Caller is who asks, as its token and its session say. What its binding allows is not in it: Allow looks at the
// binding as it is by then.
type Caller struct {
	Session  uint64 // 0: an operator's tool, or an agent that has none yet
	Agent    string
	Identity string   // as it was proven
	Binding  string   // by which it was let in; empty: open, or an operator by a certificate of the control plane's own CA
	Group    string   // of agents; empty: an operator
	Roles    []string // that it claims; Allow leaves out what the binding and the group no longer have
	Admin    bool
	Open     bool // admitted from loopback because there were no bindings
}

// CallKind says what is asked for.
type CallKind uint8

const (
	// CallCommit places records in a share, or in a topic of it.
	CallCommit CallKind = iota + 1
	// CallPlan asks where records of a topic lie.
	CallPlan
	// CallWatch asks to be told where records of a topic come to lie.
	CallWatch
	// CallListOffsets asks for offsets of a topic.
	CallListOffsets
	// CallTopics asks for the description of a topic. Denied, the topic does not exist: 3, or 100 if it was named by id.
	CallTopics
	// CallCreateTopic has a topic created by asking for its description.
	CallCreateTopic
	// CallLogin opens a session.
	CallLogin
	// CallMembership keeps a session or ends it; Session says which.
	CallMembership
	// CallTunnel is a coordinator or admin request of Kafka's; Key says which.
	CallTunnel
	// CallStatus asks how the control plane is.
	CallStatus
	// CallConfirmClock ends a freeze.
	CallConfirmClock
	// CallWalls reads shares, groups, grants and bindings.
	CallWalls
	// CallChange changes them.
	CallChange
	// CallAudit reads who did what.
	CallAudit
	// CallMeter reads what agents did for each share.
	CallMeter
)

// Call is what is asked for. Share and Topic are empty where the call names none. A call that names several topics or
// consumer groups is asked about each.
type Call struct {
	Kind          CallKind
	Share         string
	Topic         string
	Key           int16  // the Kafka API key of a CallTunnel
	Group         string // the consumer group that it is about, if any
	Transactional string // the transactional id that it is about, if any
}

// Decision answers a Call. Reason is for logs and people.
type Decision struct {
	Allowed bool
	Code    int16 // Kafka's; 0 when allowed
	Reason  string
	// Login: whoever asks must prove again who it is, for what it was let in by is no more.
	Login bool
	// Grant is the one by which data of a topic may move, when there is one; for the audit.
	Grant string
}

// standing is what a caller may be and do by now.
type standing struct {
	group   string
	roles   []string // as claimed; State.role leaves out what is lost
	binding *binding // nil: open, or an operator by certificate
	admin   bool
	open    bool
}

// stand finds out who asks, by the state as it is now.
func (s *State) stand(who *Caller) (st standing, d Decision) {
	st = standing{group: who.Group, roles: who.Roles, admin: who.Admin, open: who.Open}
	switch {
	case who.Open && !s.Open():
		return st, relogin("this cluster has bindings by now: log in")
	case who.Open:
	case who.Binding == "" && who.Admin:
	case who.Binding == "":
		return st, relogin("nobody: neither a binding nor an operator's certificate lets this caller in")
	default:
		b, ok := s.bindings.Get(who.Binding)
		switch {
		case !ok:
			return st, relogin(fmt.Sprintf("binding %q is no more", who.Binding))
		case who.Group != "" && who.Group != b.pb.GetGroup():
			return st, relogin(fmt.Sprintf("binding %q is not of group %q any more", who.Binding, who.Group))
		}
		st.binding, st.admin = b, who.Admin && b.pb.GetAdmin()
	}
	if who.Session != 0 {
		if x, ok := s.sessions.Get(who.Session); ok && (s.words[x.group] != who.Group || x.agent != who.Agent) {
			return st, deny(codeClusterDenied, fmt.Sprintf("session %d is another agent's", who.Session))
		}
	}
	return st, Decision{Allowed: true}
}

// role says whether the caller has a role: it claims it, and neither its binding nor its group has lost it.
func (s *State) role(st *standing, role string) bool {
	if !slices.Contains(st.roles, role) || st.binding != nil && !slices.Contains(st.binding.pb.GetRoles(), role) {
		return false
	}
	g, ok := s.agentGroups.Get(st.group)
	return !ok || len(g.GetRoles()) == 0 || slices.Contains(g.GetRoles(), role)
}

func deny(code int16, reason string) Decision { return Decision{Code: code, Reason: reason} }

func relogin(reason string) Decision {
	return Decision{Code: codeClusterDenied, Reason: reason, Login: true}
}

func allow() Decision { return Decision{Allowed: true} }

// Allow is the one place that says who may do what (I6). It is pure, and asked on every call: streams ask it again for
// each message and whenever Walls has risen. What it says holds at the state's clock, by which grants expire.
//
// docs/security.md has all of it in a table, which a test writes.
func (s *State) Allow(who Caller, what Call) Decision {
	st, d := s.stand(&who)
	if !d.Allowed {
		return d
	}
	switch what.Kind {
	case CallCommit:
		return s.allowData(&st, what, RoleProduce, RoleProduce)
	case CallPlan, CallWatch:
		// An operator's tool asks how far behind a consumer group is; it holds no bucket credentials.
		if st.admin && st.group == "" {
			return allow()
		}
		return s.allowRead(&st, what)
	case CallListOffsets:
		return s.allowOffsets(&st, what)
	case CallTopics:
		return s.allowSight(&st, what)
	case CallCreateTopic:
		return s.allowCreate(&st, what)
	case CallLogin:
		return s.allowLogin(&st)
	case CallMembership, CallStatus:
		return allow()
	case CallTunnel:
		return s.allowTunnel(&st, what)
	case CallConfirmClock, CallWalls, CallChange, CallAudit, CallMeter:
		return allowAdmin(&st, codeClusterDenied)
	}
	return deny(codeInvalidRequest, "no such call")
}

// AllowPartition asks about a call on a partition. A topic that is not there is left to the call itself to tell, if its
// caller's role lets it ask at all.
func (s *State) AllowPartition(who Caller, kind CallKind, p topic.Partition) Decision {
	call := Call{Kind: kind}
	t, ok := s.topicByID[p.Topic]
	switch {
	case ok:
		call.Topic, call.Share = t.topic.Name, t.topic.Share
	case p.Topic == offsetsTopic().ID:
		call.Topic = OffsetsTopic
	}
	return s.Allow(who, call)
}

func allowAdmin(st *standing, code int16) Decision {
	if st.admin {
		return allow()
	}
	return deny(code, "it needs a binding with admin")
}

// allowData says whether records of a topic may move: the caller has the role, and its group a grant. Without a topic
// the question is only whether anything in the share may.
func (s *State) allowData(st *standing, what Call, access string, roles ...string) Decision {
	if !slices.ContainsFunc(roles, func(role string) bool { return s.role(st, role) }) {
		return deny(codeTopicDenied, "it needs the "+strings.Join(roles, " or ")+" role")
	}
	if what.Topic == OffsetsTopic || what.Topic == "" && what.Share == "" {
		return allow() // there is nothing to protect: it is always empty, or not there
	}
	g, ok := s.granted(st, what.Share, what.Topic, func(g *grant) bool { return g.pb.GetAccess() == access })
	if !ok {
		return deny(codeTopicDenied, notGranted(st, what, access))
	}
	return Decision{Allowed: true, Grant: g}
}

func (s *State) allowRead(st *standing, what Call) Decision {
	return s.allowData(st, what, RoleFetch, RoleFetch, RoleJobs)
}

// allowOffsets lets all ask for offsets of what they see; they are numbers, not records.
func (s *State) allowOffsets(st *standing, what Call) Decision {
	if d := s.allowSight(st, what); !d.Allowed {
		return deny(codeTopicDenied, d.Reason)
	}
	return allow()
}

// allowSight says whether a topic exists for the caller: some grant of its group covers it.
func (s *State) allowSight(st *standing, what Call) Decision {
	if st.admin || what.Topic == OffsetsTopic || what.Topic == "" && what.Share == "" {
		return allow()
	}
	if _, ok := s.granted(st, what.Share, what.Topic, func(*grant) bool { return true }); !ok {
		return deny(codeUnknownPartition, notGranted(st, what, "see"))
	}
	return allow()
}

// allowCreate says whether asking for a topic may create it.
func (s *State) allowCreate(st *standing, what Call) Decision {
	if st.admin {
		return allow()
	}
	if !s.role(st, RoleProduce) {
		return deny(codeTopicDenied, "it needs the produce role to create topics by asking for them")
	}
	creates := func(g *grant) bool { return g.pb.GetCreate() && g.pb.GetAccess() == RoleProduce }
	g, ok := s.granted(st, what.Share, what.Topic, creates)
	if !ok {
		return deny(codeTopicDenied, notGranted(st, what, "create topics in"))
	}
	return Decision{Allowed: true, Grant: g}
}

// allowLogin says whether a session may be opened. The command that opens it checks the rest.
func (s *State) allowLogin(st *standing) Decision {
	if st.group == "" {
		return deny(codeClusterDenied, "only an agent of a group has a session")
	}
	for _, role := range st.roles {
		if !s.role(st, role) {
			return deny(codeClusterDenied, fmt.Sprintf("group %q has no role %q by its binding", st.group, role))
		}
	}
	return allow()
}

func notGranted(st *standing, what Call, access string) string {
	if what.Topic == "" {
		return fmt.Sprintf("group %q has no grant to %s share %q", st.group, access, what.Share)
	}
	return fmt.Sprintf("group %q has no grant to %s topic %q of share %q", st.group, access, what.Topic, what.Share)
}

// granted finds a grant of the caller's group that covers a topic, or any topic of a share, at the state's clock. While
// there are no bindings, the share default is everybody's.
func (s *State) granted(st *standing, share, name string, fits func(*grant) bool) (string, bool) {
	if share == topic.DefaultShare && s.Open() && st.group != "" {
		return "", true
	}
	if st.group == "" || st.binding != nil && !st.binding.covers(share) {
		return "", false
	}
	now := s.clock()
	for _, g := range s.grantsOf[st.group] {
		if g.pb.GetShare() == share && fits(g) && g.lives(now) && (name == "" || g.covers(name)) {
			return g.pb.GetName(), true
		}
	}
	return "", false
}

// Binding finds a binding.
func (s *State) Binding(name string) (*controlpb.Binding, bool) {
	b, ok := s.bindings.Get(name)
	if !ok {
		return nil, false
	}
	return b.pb, true
}
