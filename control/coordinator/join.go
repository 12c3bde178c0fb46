package coordinator

// Join lets a member in, or parks its request until the group is ready.
func (m *Machine) Join(now int64, j Join) {
	g, code := m.admit(now, j)
	if code != codeNone {
		member := j.Member
		if code == codeGroupMaxSize {
			member = ""
		}
		m.refuse(j, member, code)
		return
	}
	if j.Member == "" {
		m.joinNew(now, g, j)
		return
	}
	m.joinAgain(now, g, j)
}

// admit finds the group, creating it for a member without an id, and checks
// everything that does not depend on what the group is doing.
func (m *Machine) admit(now int64, j Join) (*group, int16) {
	if j.Group == "" || len(j.Group) > MaxGroupName {
		return nil, codeInvalidGroup
	}
	session := int64(j.SessionTimeoutMs)
	if session < m.cfg.MinSessionTimeout.Milliseconds() || session > m.cfg.MaxSessionTimeout.Milliseconds() {
		return nil, codeInvalidSession
	}
	size := m.joinBytes(j)
	if len(j.Protocols) > maxProtocols || size > m.cfg.MaxMemberBytes {
		return nil, codeInvalidRequest
	}
	g := m.groups[j.Group]
	switch {
	case g == nil && j.Member != "":
		return nil, codeUnknownMember
	case g == nil && (j.ProtocolType == "" || len(j.Protocols) == 0):
		return nil, codeInconsistentProtocol
	case g == nil && len(m.groups) >= m.cfg.MaxGroups, m.bytes+size > m.cfg.MaxTotalBytes:
		return nil, codeCoordinatorAway // retriable: groups and members come and go
	case g == nil:
		g = newGroup(j.Group, &m.bytes)
		g.idleSince = now
		m.groups[j.Group] = g
	}
	if !m.hasRoom(g, j, size) {
		m.shed(now, g, j.Member)
		return nil, codeGroupMaxSize
	}
	if !g.supports(j.ProtocolType, j.Protocols) {
		return nil, codeInconsistentProtocol
	}
	return g, codeNone
}

// MaxGroupName bounds a group's name in bytes.
const MaxGroupName = 1024

// maxProtocols bounds the protocols of one member.
const maxProtocols = 64

func (m *Machine) joinBytes(j Join) int {
	return memberBytes(&member{
		id: j.Member + j.Random, instance: j.Instance,
		clientID: j.ClientID, clientHost: j.ClientHost, protocols: j.Protocols,
	})
}

// hasRoom holds group.max.size as Kafka does: while members join, those count
// that have joined, so that the last to come are the ones to go; otherwise all.
// Static members count in any case, for they are not put out when they do not
// join, and so do ids that were handed out, or a client that never uses its id
// could fill the memory.
func (m *Machine) hasRoom(g *group, j Join, size int) bool {
	mem := g.byID[j.Member]
	had := 0
	if mem != nil {
		had = mem.bytes
	}
	if g.bytes-had+size > m.cfg.MaxGroupBytes/2 {
		return false
	}
	_, pending := g.pending[j.Member]
	switch {
	case mem != nil && (mem.joining || mem.instance != "" || g.state != PreparingRebalance):
		return true
	case mem == nil && j.Instance != "" && g.static[j.Instance] != nil && j.Member == "":
		return true // takes the place of its former life
	case g.state == PreparingRebalance:
		return pending || g.staying()+len(g.pending) < m.cfg.MaxMembers
	default:
		return pending || len(g.members)+len(g.pending) < m.cfg.MaxMembers
	}
}

// shed removes the member that found no room when it joined again.
func (m *Machine) shed(now int64, g *group, id string) {
	if mem := g.byID[id]; mem != nil {
		m.expel(now, mem)
	}
}

// joinNew lets in a member that has no id yet.
func (m *Machine) joinNew(now int64, g *group, j Join) {
	name := j.ClientID
	if j.Instance != "" {
		name = j.Instance
	}
	id := name + "-" + j.Random
	switch {
	case j.Instance != "" && g.static[j.Instance] != nil:
		m.replace(now, g, g.static[j.Instance], id, j)
	case j.Instance == "" && j.RequireMember:
		t := &timer{kind: timerPending, group: g, id: id}
		g.pending[id] = t
		m.bytes += pendingBytes(id)
		m.timers.arm(t, now+int64(j.SessionTimeoutMs))
		m.refuse(j, id, codeMemberIDRequired)
	default:
		m.addMember(now, g, id, j)
	}
}

// joinAgain lets in a member that knows its id.
func (m *Machine) joinAgain(now int64, g *group, j Join) {
	if g.pending[j.Member] != nil && j.Instance == "" {
		m.unlist(g, j.Member)
		m.addMember(now, g, j.Member, j)
		return
	}
	mem, code := g.check(j.Member, j.Instance)
	if code != codeNone {
		m.refuse(j, j.Member, code)
		return
	}
	mem.knowsID = true
	same := mem.matches(j.Protocols)
	leads := g.leader == mem.id
	switch {
	case g.state == PreparingRebalance:
		m.update(g, mem, j)
		m.heardJoining(now, mem)
		m.maybeCompleteJoin(now, g)
	case g.state == CompletingRebalance && same:
		// Its answer was lost: here it is again.
		m.heard(now, mem)
		m.reply(j.Request, m.current(g, mem))
	case g.state == Stable && same && !leads:
		m.heard(now, mem)
		m.reply(j.Request, m.current(g, mem))
	case g.state == Empty:
		m.refuse(j, j.Member, codeUnknownMember)
	default:
		// What it says has changed, or it leads and wants to assign anew.
		m.update(g, mem, j)
		m.heardJoining(now, mem)
		m.prepareRebalance(now, g)
	}
}

// heardJoining starts the session of a member that has just joined again. It is
// not thrown out while its request is parked; the timer matters if it is new.
func (m *Machine) heardJoining(now int64, mem *member) {
	if mem.isNew {
		m.timers.arm(&mem.session, now+m.cfg.NewMemberJoinTimeout.Milliseconds())
		return
	}
	m.heard(now, mem)
}

// addMember takes a new member in and has everyone join again.
func (m *Machine) addMember(now int64, g *group, id string, j Join) {
	mem := &member{
		id: id, instance: j.Instance, clientID: j.ClientID, clientHost: j.ClientHost,
		isNew: true, knowsID: j.Member != "",
	}
	mem.session.kind = timerSession
	m.say(mem, j)
	mem.bytes = memberBytes(mem)
	if len(g.members) == 0 {
		g.protocolType = j.ProtocolType
	}
	g.add(mem)
	if g.state == PreparingRebalance && g.fromEmpty {
		g.newMemberAdded = true
	}
	m.park(mem, j)
	m.timers.arm(&mem.session, now+m.cfg.NewMemberJoinTimeout.Milliseconds())
	m.rebalance(now, g)
}

// update takes over what a member says of itself and parks its request.
func (m *Machine) update(g *group, mem *member, j Join) {
	m.say(mem, j)
	g.resize(mem, memberBytes(mem))
	m.park(mem, j)
}

func (m *Machine) say(mem *member, j Join) {
	mem.protocols = j.Protocols
	mem.sessionMs = j.SessionTimeoutMs
	mem.rebalanceMs = max(j.RebalanceTimeoutMs, 0)
}

// park keeps a JoinGroup until the group is ready. An earlier one of the same
// member was given up by its client.
func (m *Machine) park(mem *member, j Join) {
	m.answerJoin(mem, refusedJoin(mem.id, codeRebalance))
	m.answerReplaced(mem, refusedJoin(mem.id, codeRebalance))
	mem.joining, mem.join = true, j.Request
	m.parked[j.Request] = mem
}

// replace gives the place of a static member to its next life, at once if that
// changes nothing for the others.
func (m *Machine) replace(now int64, g *group, mem *member, id string, j Join) {
	formerLeader := g.leader
	m.answerJoin(mem, refusedJoin(mem.id, codeFencedInstance))
	m.answerReplaced(mem, refusedJoin(mem.id, codeFencedInstance))
	m.answerSync(mem, &SyncReply{Code: codeFencedInstance})
	g.rename(mem, id)
	mem.clientID, mem.clientHost, mem.knowsID = j.ClientID, j.ClientHost, false
	m.say(mem, j)
	g.resize(mem, memberBytes(mem))
	m.heard(now, mem)
	if g.state == Stable && g.vote() == g.protocol {
		m.replaceQuietly(g, mem, formerLeader, j)
		return
	}
	m.park(mem, j)
	m.rebalance(now, g)
}

// replaceQuietly answers after the new id is stored. A client that cannot skip
// the assignment is told that the former life leads, so that it does not assign:
// nobody would fetch the result.
func (m *Machine) replaceQuietly(g *group, mem *member, formerLeader string, j Join) {
	reply := m.current(g, mem)
	if !j.SkipAssignment {
		reply.Leader, reply.Members = formerLeader, nil
	} else if g.leader == mem.id {
		reply.SkipAssignment = true
	}
	assignments := make(map[string][]byte, len(g.members))
	for _, o := range g.members {
		assignments[o.id] = o.assignment
	}
	mem.replacing, mem.replaced = j.Request, reply
	m.parked[j.Request] = mem
	mem.replaceTok = m.store(g, assignments)
}

// replacedStored answers a replaced member once its new id is stored.
func (m *Machine) replacedStored(mem *member, code int16) {
	mem.replaceTok = 0
	reply := mem.replaced
	if code != codeNone {
		reply = refusedJoin("", code)
	}
	m.answerReplaced(mem, reply)
}

// current is what a member is told of the generation that runs.
func (m *Machine) current(g *group, mem *member) *JoinReply {
	reply := &JoinReply{
		Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol,
		Leader: g.leader, Member: mem.id,
	}
	if g.leader != mem.id {
		return reply
	}
	reply.Members = make([]JoinMember, 0, len(g.members))
	for _, o := range g.members {
		reply.Members = append(reply.Members, JoinMember{ID: o.id, Instance: o.instance, Metadata: o.metadata(g.protocol)})
	}
	return reply
}

func (m *Machine) refuse(j Join, member string, code int16) {
	m.reply(j.Request, refusedJoin(member, code))
}

func (m *Machine) reply(request RequestID, r *JoinReply) {
	m.out.Replies = append(m.out.Replies, Reply{Request: request, Join: r})
}

// answerJoin answers the member's parked JoinGroup, if there is one.
func (m *Machine) answerJoin(mem *member, r *JoinReply) {
	mem.joining = false
	if mem.join == 0 {
		return
	}
	delete(m.parked, mem.join)
	m.reply(mem.join, r)
	mem.join = 0
}

// answerReplaced answers the JoinGroup that waits for a new id to be stored.
func (m *Machine) answerReplaced(mem *member, r *JoinReply) {
	if mem.replacing == 0 {
		return
	}
	delete(m.parked, mem.replacing)
	m.reply(mem.replacing, r)
	mem.replacing, mem.replaced = 0, nil
}
