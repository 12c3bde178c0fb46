package coordinator

// Sync hands a member its assignment, or parks its request until the leader's
// assignment is stored. The leader's own request brings it.
func (m *Machine) Sync(now int64, s Sync) {
	g := m.groups[s.Group]
	mem, code := checkSync(g, s)
	if code != codeNone {
		m.out.Replies = append(m.out.Replies, Reply{Request: s.Request, Sync: &SyncReply{Code: code}})
		return
	}
	switch g.state {
	case CompletingRebalance:
		m.parkSync(mem, s)
		m.synced(g, mem)
		if g.leader == mem.id {
			m.assign(now, g, s)
		}
	case Stable:
		m.parkSync(mem, s)
		m.synced(g, mem)
		m.answerSync(mem, g.assignmentOf(mem, codeNone))
		m.heard(now, mem)
	}
}

// checkSync says whether this member may sync with this generation now.
func checkSync(g *group, s Sync) (*member, int16) {
	switch {
	case s.Group == "":
		return nil, codeInvalidGroup
	case g == nil:
		return nil, codeUnknownMember
	}
	mem, code := g.check(s.Member, s.Instance)
	switch {
	case code != codeNone:
		return nil, code
	case s.Generation != g.generation:
		return nil, codeIllegalGeneration
	case s.ProtocolType != "" && s.ProtocolType != g.protocolType,
		s.Protocol != "" && g.protocol != "" && s.Protocol != g.protocol:
		return nil, codeInconsistentProtocol
	case g.state == PreparingRebalance:
		return nil, codeRebalance
	case g.state == Empty:
		return nil, codeUnknownMember
	}
	return mem, codeNone
}

func (m *Machine) parkSync(mem *member, s Sync) {
	m.answerSync(mem, &SyncReply{Code: codeRebalance})
	mem.syncing, mem.sync = true, s.Request
	m.parked[s.Request] = mem
}

// synced notes that a member asked for its assignment.
func (m *Machine) synced(g *group, mem *member) {
	mem.pendSync = false
	for _, o := range g.members {
		if o.pendSync {
			return
		}
	}
	g.syncTimer.disarm()
}

// assign stores what the leader assigned. Members it left out get nothing.
func (m *Machine) assign(now int64, g *group, s Sync) {
	if g.storing != 0 {
		return // the leader repeats itself; its first word is on its way to the log
	}
	size := g.bytes
	assignments := make(map[string][]byte, len(s.Assignments))
	for _, a := range s.Assignments {
		if g.byID[a.Member] == nil {
			continue
		}
		assignments[a.Member] = a.Data
		size += len(a.Data)
	}
	if size > m.cfg.MaxGroupBytes {
		m.assigned(now, g, codeUnknownServer)
		return
	}
	g.assigning = g.assigning[:0]
	for _, mem := range g.members {
		g.assigning = append(g.assigning, Assignment{Member: mem.id, Data: assignments[mem.id]})
	}
	g.storing = m.store(g, assignments)
}

// assigned makes the group stable once its assignment is stored. If it cannot
// be stored, everyone is told and joins again.
func (m *Machine) assigned(now int64, g *group, code int16) {
	assigning := g.assigning
	g.storing, g.assigning = 0, nil
	if g.state != CompletingRebalance {
		return
	}
	for _, mem := range g.members {
		mem.assignment = nil
	}
	if code != codeNone {
		m.propagate(now, g, code)
		m.prepareRebalance(now, g)
		return
	}
	for _, a := range assigning {
		if mem := g.byID[a.Member]; mem != nil {
			mem.assignment = a.Data
		}
	}
	g.state = Stable
	m.propagate(now, g, codeNone)
}

// propagate answers every member that waits for its assignment. Those that did
// get a fresh session: while they waited, theirs could not run out.
func (m *Machine) propagate(now int64, g *group, code int16) {
	for _, mem := range g.members {
		if !mem.syncing {
			continue
		}
		m.answerSync(mem, g.assignmentOf(mem, code))
		m.heard(now, mem)
	}
}

func (g *group) assignmentOf(mem *member, code int16) *SyncReply {
	if code != codeNone {
		return &SyncReply{Code: code}
	}
	return &SyncReply{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: mem.assignment}
}

// answerSync answers the member's parked SyncGroup, if there is one.
func (m *Machine) answerSync(mem *member, r *SyncReply) {
	mem.syncing = false
	if mem.sync == 0 {
		return
	}
	delete(m.parked, mem.sync)
	m.out.Replies = append(m.out.Replies, Reply{Request: mem.sync, Sync: r})
	mem.sync = 0
}
