package coordinator

// rebalance starts a rebalance, or lets the one that runs go on.
func (m *Machine) rebalance(now int64, g *group) {
	if g.state == PreparingRebalance {
		m.maybeCompleteJoin(now, g)
		return
	}
	m.prepareRebalance(now, g)
}

// prepareRebalance has all members join again. Those that wait for an
// assignment of the generation that now ends are told so.
func (m *Machine) prepareRebalance(now int64, g *group) {
	if g.state == CompletingRebalance {
		for _, mem := range g.members {
			mem.assignment = nil
		}
		m.propagate(now, g, codeRebalance)
	}
	g.storing, g.assigning = 0, nil
	g.syncTimer.disarm()
	g.fromEmpty = g.state == Empty
	g.state = PreparingRebalance
	if g.fromEmpty {
		delay := m.cfg.InitialRebalanceDelay.Milliseconds()
		g.newMemberAdded = false
		g.delayMs, g.remainingMs = delay, max(g.rebalanceMs()-delay, 0)
		if delay == 0 {
			m.completeJoin(now, g)
			return
		}
		m.timers.arm(&g.joinTimer, now+delay)
		return
	}
	if g.allJoined() {
		m.completeJoin(now, g)
		return
	}
	m.timers.arm(&g.joinTimer, now+g.rebalanceMs())
}

// maybeCompleteJoin ends the wait when nobody is missing, but never the
// initial delay, which waits for those not yet known.
func (m *Machine) maybeCompleteJoin(now int64, g *group) {
	if g.state == PreparingRebalance && !g.fromEmpty && g.allJoined() {
		m.completeJoin(now, g)
	}
}

// joinOver is called when members have had time enough to join.
func (m *Machine) joinOver(now int64, g *group) {
	if g.state != PreparingRebalance {
		return
	}
	if g.fromEmpty && g.newMemberAdded && g.remainingMs > 0 {
		// Somebody came during the delay: more may follow.
		g.newMemberAdded = false
		delay := min(m.cfg.InitialRebalanceDelay.Milliseconds(), g.remainingMs)
		g.remainingMs = max(g.remainingMs-g.delayMs, 0)
		g.delayMs = delay
		m.timers.arm(&g.joinTimer, now+delay)
		return
	}
	m.completeJoin(now, g)
}

// completeJoin begins the next generation with the members that have joined.
// Static members keep their place until their session ends.
func (m *Machine) completeJoin(now int64, g *group) {
	g.joinTimer.disarm()
	for _, mem := range append([]*member(nil), g.members...) {
		if !mem.joining && mem.instance == "" {
			m.dismiss(g, mem)
		}
	}
	if len(g.members) > 0 && !g.electLeader() {
		// Only static members are left and none of them has joined: their sessions decide.
		g.fromEmpty = false
		m.timers.arm(&g.joinTimer, now+max(g.rebalanceMs(), 1))
		return
	}
	g.generation += 1 + g.leap
	g.leap, g.fromEmpty = 0, false
	if len(g.members) == 0 {
		m.emptied(now, g)
		return
	}
	g.state, g.protocol = CompletingRebalance, g.vote()
	for _, mem := range g.members {
		mem.pendSync = true
		m.answerJoin(mem, m.current(g, mem))
		m.heard(now, mem)
		mem.isNew = false
	}
	m.timers.arm(&g.syncTimer, now+max(g.rebalanceMs(), 1))
}

// electLeader keeps the leader if it has joined, or takes the first that has.
func (g *group) electLeader() bool {
	if leader := g.byID[g.leader]; leader != nil && leader.joining {
		return true
	}
	for _, mem := range g.members {
		if mem.joining {
			g.leader = mem.id
			return true
		}
	}
	return false
}

// emptied stores a group that everyone has left. Its generation is kept.
func (m *Machine) emptied(now int64, g *group) {
	g.state, g.protocol, g.leader = Empty, "", ""
	g.idleSince = now
	m.store(g, nil)
}

// syncOver is called when members have had time enough to ask for their
// assignment. Those that have not are gone.
func (m *Machine) syncOver(now int64, g *group) {
	if g.state != CompletingRebalance && g.state != Stable {
		return
	}
	missing := false
	for _, mem := range append([]*member(nil), g.members...) {
		if mem.pendSync {
			missing = true
			m.dismiss(g, mem)
		}
	}
	if missing {
		m.prepareRebalance(now, g)
	}
}

// sessionOver is called when a member was not heard of for its session timeout.
// A member that waits for us is not at fault, unless it is so new that its
// client may not even know that it is one.
func (m *Machine) sessionOver(now int64, mem *member) {
	g := mem.session.group
	if g.byID[mem.id] != mem {
		return
	}
	if !mem.isNew && (mem.joining || mem.syncing) {
		return // its answer starts the timer again
	}
	m.expel(now, mem)
}

// expel removes a member and lets the others rebalance.
func (m *Machine) expel(now int64, mem *member) {
	g := mem.session.group
	m.dismiss(g, mem)
	if g.state != Empty {
		m.rebalance(now, g)
	}
}

// dismiss removes a member, telling it if it waits.
func (m *Machine) dismiss(g *group, mem *member) {
	m.answerJoin(mem, refusedJoin("", codeUnknownMember))
	m.answerReplaced(mem, refusedJoin("", codeUnknownMember))
	m.answerSync(mem, &SyncReply{Code: codeUnknownMember})
	g.remove(mem)
}

// unpend takes back an id that was handed out and not used.
func (m *Machine) unpend(now int64, g *group, id string) {
	if g.pending[id] == nil {
		return
	}
	m.unlist(g, id)
	m.maybeCompleteJoin(now, g)
	if g.state == Empty && len(g.pending) == 0 {
		g.idleSince = now
	}
}

func (m *Machine) unlist(g *group, id string) {
	g.pending[id].disarm()
	delete(g.pending, id)
	m.bytes -= pendingBytes(id)
}
