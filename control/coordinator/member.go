package coordinator

// Heartbeat keeps a member's session and tells it whether to join again.
func (m *Machine) Heartbeat(now int64, h Identity) int16 {
	if h.Group == "" {
		return codeInvalidGroup
	}
	g := m.groups[h.Group]
	if g == nil {
		return codeUnknownMember
	}
	mem, code := g.check(h.Member, h.Instance)
	switch {
	case code != codeNone:
		return code
	case h.Generation != g.generation:
		return codeIllegalGeneration
	case g.state == Empty:
		return codeUnknownMember
	}
	m.heardUnlessNew(now, mem)
	if g.state == PreparingRebalance {
		return codeRebalance
	}
	return codeNone
}

// heardUnlessNew keeps a session. A member that has not been in a completed
// generation has no session yet, only the time to join.
func (m *Machine) heardUnlessNew(now int64, mem *member) {
	if !mem.isNew {
		m.heard(now, mem)
	}
}

// Leaver names one member that leaves: by id, or, as an operator's tool does,
// by instance id alone.
type Leaver struct {
	Member, Instance string
}

// Leave removes members and answers for each. The code in front is the group's.
func (m *Machine) Leave(now int64, name string, leavers []Leaver) (int16, []int16) {
	if name == "" {
		return codeInvalidGroup, nil
	}
	codes := make([]int16, len(leavers))
	g := m.groups[name]
	left := false
	for i, l := range leavers {
		if g == nil {
			codes[i] = codeUnknownMember
			continue
		}
		codes[i] = m.leave(now, g, l)
		left = left || codes[i] == codeNone
	}
	// One rebalance for all that left.
	if left && g.state != Empty {
		m.rebalance(now, g)
	}
	return codeNone, codes
}

func (m *Machine) leave(now int64, g *group, l Leaver) int16 {
	if l.Member == "" {
		mem := g.static[l.Instance]
		if l.Instance == "" || mem == nil {
			return codeUnknownMember
		}
		m.dismiss(g, mem)
		return codeNone
	}
	if g.pending[l.Member] != nil && l.Instance == "" {
		m.unpend(now, g, l.Member)
		return codeNone
	}
	mem, code := g.check(l.Member, l.Instance)
	if code != codeNone {
		return code
	}
	m.dismiss(g, mem)
	return codeNone
}

// CheckCommit says whether offsets may be committed: by a member of the
// generation that runs, or by anyone without a generation while nobody is in
// the group. A member that commits is alive. notFound is what an unknown group
// answers to a member: it differs between versions.
func (m *Machine) CheckCommit(now int64, c Identity, notFound int16) int16 {
	g := m.groups[c.Group]
	simple := c.Generation < 0
	switch {
	case g == nil && simple, g != nil && g.state == Empty && simple:
		return codeNone
	case g == nil:
		return notFound
	case simple && c.Member == "" && c.Instance == "":
		return codeUnknownMember
	}
	mem, code := g.check(c.Member, c.Instance)
	switch {
	case code != codeNone:
		return code
	case c.Generation != g.generation:
		return codeIllegalGeneration
	case g.state == CompletingRebalance:
		return codeRebalance
	}
	m.heardUnlessNew(now, mem)
	return codeNone
}
