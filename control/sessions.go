package control

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// session is an agent's lease. Ended, it is kept for its answers; forgotten, its number still
// says that it once was, for numbers only rise.
type session struct {
	gen     uint64
	id      uint64
	agent   string
	group   uint16 // word
	roles   []string
	zone    string
	kafka   string
	gossip  string
	peer    string
	version string
	// identity and binding are by which it was let in; both empty: open.
	identity string
	binding  string
	node     int32
	started  int64
	ended    bool
	endedAt  int64
	lanes    []lane // by share
}

// lane is the sequences of one session in one share.
type lane struct {
	share   uint16 // word
	last    uint64 // the last sequence committed or abandoned
	acked   uint64 // up to here, answers are no longer kept
	rows    int    // answers kept, of all sequences
	answers []kept
}

// kept is the answer to one sequence, until it is acknowledged. Its answers are never changed.
type kept struct {
	sequence uint64
	answers  []segment.Answer
}

// node is what is remembered of an agent: its node id stays the same for its whole life.
type node struct {
	id      int32
	session uint64 // the live one; 0: none
	endedAt int64  // of the last one, when none is live
}

// Bounds of what an agent says of itself, in bytes.
const (
	maxAgent   = 128
	maxZone    = 128
	maxAddress = 512
	maxRoles   = 8
)

func lawfulName(name string) bool { return segment.CheckName("", name) == nil }

func lawfulLogin(c *controlpb.LoginCommand) bool {
	q := c.GetRequest()
	if len(c.GetIdentity()) > maxIdentity || q.GetAgent() == "" || len(q.GetAgent()) > maxAgent || !lawfulName(q.GetGroup()) ||
		len(q.GetZone()) > maxZone || len(q.GetVersion()) > maxAddress || len(q.GetRoles()) > maxRoles {
		return false
	}
	for _, role := range q.GetRoles() {
		if len(role) > maxAgent {
			return false
		}
	}
	for _, address := range []string{q.GetKafkaAddress(), q.GetGossipAddress(), q.GetPeerAddress()} {
		if len(address) > maxAddress {
			return false
		}
	}
	return true
}

// nodeKey names an agent: no group can touch another's agents by guessing their names.
func nodeKey(group, agent string) string { return group + "/" + agent } // no / in a group

// login opens a session. An agent has at most one that lives: a login ends the one before it.
// That is safe (I11), for whatever that session had not committed never will be, and what it had
// keeps its answers; and it is needed, for the reply that told the agent of that session may have
// been lost.
func (s *State) login(c *controlpb.LoginCommand, r *Result) {
	q := c.GetRequest()
	if !lawfulLogin(c) {
		r.Code = codeInvalidRequest
		return
	}
	if why := s.checkLogin(c); why.code != 0 {
		r.refuse(why)
		return
	}
	key := nodeKey(q.GetGroup(), q.GetAgent())
	n, known := s.nodes.Get(key)
	group, room := s.word(q.GetGroup())
	if !room {
		r.Code = codePolicy
		return
	}
	if (n.session == 0 && s.live >= s.limits.MaxSessions) || (!known && !s.roomForNode()) {
		r.Code = codeTooMany
		return
	}
	if n.session != 0 {
		s.endSession(n.session)
		n, _ = s.nodes.Get(key)
	}
	if known {
		s.agenda.Delete(s.dueOfNode(key, n))
	} else {
		n.id = s.nextNode
		s.nextNode++
	}
	x := s.openSession(c, group, n.id)
	s.nodes.Set(key, node{id: n.id, session: x.id})
	s.firstKey(q.GetGroup(), c.GetGossipKey())
	r.Login = s.loginResponse(x)
	s.record(&controlpb.AuditEvent{
		Kind: AuditLogin, Identity: x.identity, Binding: x.binding, Group: q.GetGroup(), Agent: x.agent,
		Detail: fmt.Sprintf("session %d with roles %v", x.id, x.roles),
	})
}

// checkLogin holds an agent to its binding; while there are no bindings, to what is known of its group.
func (s *State) checkLogin(c *controlpb.LoginCommand) refused {
	q := c.GetRequest()
	who := Caller{
		Agent: q.GetAgent(), Identity: c.GetIdentity(), Binding: c.GetBinding(), Group: q.GetGroup(), Roles: q.GetRoles(), Open: c.GetBinding() == "",
	}
	if d := s.Allow(who, Call{Kind: CallLogin}); !d.Allowed {
		return refused{d.Code, d.Reason}
	}
	b, ok := s.bindings.Get(c.GetBinding())
	if !ok || b.pb.GetMaxAgents() == 0 {
		return refused{}
	}
	n := int32(0)
	s.sessions.Scan(func(_ uint64, x *session) bool {
		if !x.ended && x.binding == c.GetBinding() && x.agent != q.GetAgent() {
			n++
		}
		return true
	})
	if n >= b.pb.GetMaxAgents() {
		return refuse(codePolicy, "binding %q lets %d agents in, and they are there", c.GetBinding(), n)
	}
	return refused{}
}

func (s *State) openSession(c *controlpb.LoginCommand, group uint16, nodeID int32) *session {
	q := c.GetRequest()
	x := &session{
		gen: s.gen, id: s.nextSession, agent: q.GetAgent(), group: group, roles: slices.Clone(q.GetRoles()),
		zone: q.GetZone(), kafka: q.GetKafkaAddress(), gossip: q.GetGossipAddress(), peer: q.GetPeerAddress(),
		version: q.GetVersion(), node: nodeID, started: s.time,
		identity: c.GetIdentity(), binding: c.GetBinding(),
	}
	s.nextSession++
	s.live++
	s.liveOf[group]++
	s.sessions.Set(x.id, x)
	return x
}

func (s *State) loginResponse(x *session) *controlpb.LoginResponse {
	group := s.words[x.group]
	keys, _ := s.gossip.Get(group)
	out := s.exportSession(x)
	res := &controlpb.LoginResponse{
		Session:     x.id,
		Incarnation: s.limits.Meta.Incarnation,
		Cluster:     s.limits.Meta.Cluster,
		ClusterId:   s.limits.Meta.ClusterID,
		NodeId:      x.node,
		LeaseMs:     s.limits.Lease.Milliseconds(),
		HeartbeatMs: s.limits.Heartbeat.Milliseconds(),
		GossipKey:   keys.keys[0],
		Seeds:       s.Seeds(group),
		Shares:      s.SharesOf(out),
		Keys:        keys.proto(),
		Quota:       s.Quota(group),
		Agents:      s.liveOf[x.group],
	}
	return res
}

// roomForNode makes room for one more agent to be remembered; the one gone longest gives way
// before its time, and loses only its node id.
func (s *State) roomForNode() bool {
	if s.nodes.Len() < s.limits.MaxNodes {
		return true
	}
	oldest, found := "", false
	var since node
	s.nodes.Scan(func(key string, n node) bool {
		if n.session == 0 && (!found || n.endedAt < since.endedAt) {
			oldest, since, found = key, n, true
		}
		return true
	})
	if found {
		s.agenda.Delete(s.dueOfNode(oldest, since))
		s.nodes.Delete(oldest)
	}
	return found
}

// endSession ends a session that lives. From here on it commits nothing.
func (s *State) endSession(id uint64) {
	x, ok := s.sessions.Get(id)
	if !ok || x.ended {
		return
	}
	x = s.mutSession(x)
	x.ended, x.endedAt = true, s.time
	s.live--
	s.liveOf[x.group]--
	s.agenda.Set(s.dueOfSession(x))
	key := nodeKey(s.words[x.group], x.agent)
	if n, ok := s.nodes.Get(key); ok && n.session == id {
		n = node{id: n.id, endedAt: s.time}
		s.nodes.Set(key, n)
		s.agenda.Set(s.dueOfNode(key, n))
	}
}

func (s *State) dueOfSession(x *session) due {
	return due{at: x.endedAt + s.limits.AnswersKept.Milliseconds(), kind: dueSession, number: x.id}
}

func (s *State) dueOfNode(key string, n node) due {
	return due{at: n.endedAt + s.limits.NodesKept.Milliseconds(), kind: dueNode, name: key}
}

func (s *State) forgetSession(d due) int {
	s.agenda.Delete(d)
	s.sessions.Delete(d.number)
	s.forgetTold(d.number)
	return 1
}

func (s *State) forgetNode(d due) int {
	s.agenda.Delete(d)
	s.nodes.Delete(d.name)
	return 1
}

// mutSession returns x for writing: itself if it was made after the last snapshot, else a copy
// that takes its place.
func (s *State) mutSession(x *session) *session {
	if x.gen == s.gen {
		return x
	}
	c := *x
	c.gen = s.gen
	c.lanes = slices.Clone(x.lanes)
	for i := range c.lanes {
		c.lanes[i].answers = slices.Clone(c.lanes[i].answers)
	}
	s.sessions.Set(c.id, &c)
	return &c
}

// find returns the place of a share's lane, or where it belongs.
func (x *session) find(share uint16) (int, bool) {
	return slices.BinarySearchFunc(x.lanes, share, func(l lane, w uint16) int { return cmp.Compare(l.share, w) })
}

// trim forgets the answers up to acked.
func (l *lane) trim(acked uint64) {
	l.acked = max(l.acked, min(acked, l.last))
	for len(l.answers) > 0 && l.answers[0].sequence <= l.acked {
		l.rows -= len(l.answers[0].answers)
		l.answers[0] = kept{}
		l.answers = l.answers[1:]
	}
}

// keep remembers the answer to a sequence.
func (l *lane) keep(sequence uint64, answers []segment.Answer) {
	l.last = sequence
	l.rows += len(answers)
	l.answers = append(l.answers, kept{sequence: sequence, answers: answers})
}

func (l *lane) answer(sequence uint64) ([]segment.Answer, bool) {
	i, ok := slices.BinarySearchFunc(l.answers, sequence, func(k kept, q uint64) int { return cmp.Compare(k.sequence, q) })
	if !ok {
		return nil, false
	}
	return l.answers[i].answers, true
}
