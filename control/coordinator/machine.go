package coordinator

import (
	"maps"
	"slices"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// Machine holds the groups of one leader of the control plane. It is used by
// one caller at a time.
type Machine struct {
	cfg    Config
	groups map[string]*group
	parked map[RequestID]*member
	stores map[uint64]*group
	token  uint64
	bytes  int // of all members and pending ids
	timers timerQueue
	out    Output
}

// New starts a machine without groups.
func New(cfg Config) *Machine {
	return &Machine{
		cfg:    cfg,
		groups: map[string]*group{},
		parked: map[RequestID]*member{},
		stores: map[uint64]*group{},
	}
}

// Take gives out what has gathered since the last Take.
func (m *Machine) Take() Output {
	out := m.out
	m.out = Output{}
	return out
}

// Next is when Tick may have something to do.
func (m *Machine) Next() (at int64, ok bool) { return m.timers.next() }

// leapOf is what the first generation after an election skips. A leader tells members of a generation before it
// is stored, which it is with its assignment. The next leader must not give the same number to another
// membership, or a SyncGroup that was on its way would assign for members that are not there. So every leader
// counts on in a range of its own: ranges come round after 64 elections, when nothing of the first is on its
// way any more, and hold a thousand generations, of which none was stored.
func leapOf(term uint64, generation int32) int32 {
	if generation > 1<<30 {
		return 0 // numbers are more precious by now; it takes tens of thousands of elections to come here
	}
	return 1000 * (1 + int32(term%64))
}

// Restore takes a group in as it was stored: stable with its members, or empty.
// Every member's session starts afresh. term is this leader's.
func (m *Machine) Restore(now int64, term uint64, stored *controlpb.SyncGroupCommand) {
	g := newGroup(stored.GetGroup(), &m.bytes)
	g.generation, g.leap = stored.GetGeneration(), leapOf(term, stored.GetGeneration())
	g.protocolType = stored.GetProtocolType()
	g.idleSince = now
	for _, s := range stored.GetMembers() {
		mem := &member{
			id: s.GetId(), instance: s.GetInstanceId(),
			clientID: s.GetClientId(), clientHost: s.GetClientHost(),
			sessionMs: s.GetSessionTimeoutMs(), rebalanceMs: s.GetRebalanceTimeoutMs(),
			assignment: s.GetAssignment(), knowsID: true,
		}
		for _, p := range s.GetProtocols() {
			mem.protocols = append(mem.protocols, Protocol{Name: p.GetName(), Metadata: p.GetMetadata()})
		}
		mem.bytes = memberBytes(mem)
		g.add(mem)
		m.heard(now, mem)
	}
	if len(g.members) > 0 {
		g.state, g.protocol = Stable, stored.GetProtocol()
		if g.byID[stored.GetLeader()] != nil {
			g.leader = stored.GetLeader()
		}
	}
	m.groups[g.name] = g
}

// Forget drops a parked request whose caller has gone. A member whose client
// cannot know its id goes with it; any other has to join again in time.
func (m *Machine) Forget(now int64, request RequestID) {
	mem := m.parked[request]
	if mem == nil {
		return
	}
	delete(m.parked, request)
	switch request {
	case mem.join:
		mem.join, mem.joining = 0, false
	case mem.sync:
		mem.sync, mem.syncing = 0, false
	case mem.replacing:
		mem.replacing, mem.replaced = 0, nil
	}
	if mem.isNew && !mem.knowsID && mem.instance == "" {
		m.expel(now, mem)
		return
	}
	m.heard(now, mem)
}

// Tick lets everything happen whose time has come.
func (m *Machine) Tick(now int64) {
	for t := m.timers.due(now); t != nil; t = m.timers.due(now) {
		switch t.kind {
		case timerSession:
			m.sessionOver(now, t.member)
		case timerPending:
			m.unpend(now, t.group, t.id)
		case timerJoin:
			m.joinOver(now, t.group)
		case timerSync:
			m.syncOver(now, t.group)
		}
	}
}

// Resign answers everything parked with COORDINATOR_NOT_AVAILABLE and forgets
// all groups: another leader has them.
func (m *Machine) Resign() {
	for _, id := range slices.Sorted(maps.Keys(m.parked)) {
		mem := m.parked[id]
		if id == mem.sync {
			m.out.Replies = append(m.out.Replies, Reply{Request: id, Sync: &SyncReply{Code: codeCoordinatorAway}})
			continue
		}
		m.out.Replies = append(m.out.Replies, Reply{Request: id, Join: refusedJoin(mem.id, codeCoordinatorAway)})
	}
	clear(m.parked)
	clear(m.groups)
	clear(m.stores)
	m.timers.entries = nil
	m.bytes = 0
	m.out.Stores = nil
}

// Drop lets an empty group go, with the ids that it handed out.
func (m *Machine) Drop(name string) int16 {
	g := m.groups[name]
	if g == nil {
		return codeGroupNotFound
	}
	if g.state != Empty {
		return codeNonEmptyGroup
	}
	for id, t := range g.pending {
		t.disarm()
		m.bytes -= pendingBytes(id)
	}
	delete(m.groups, name)
	return codeNone
}

// heard starts a member's session timer again.
func (m *Machine) heard(now int64, mem *member) {
	mem.session.kind = timerSession
	m.timers.arm(&mem.session, now+int64(mem.sessionMs))
}

// store asks for the group to be written down, with these assignments.
func (m *Machine) store(g *group, assignments map[string][]byte) uint64 {
	m.token++
	cmd := &controlpb.SyncGroupCommand{
		Group: g.name, ProtocolType: g.protocolType, Protocol: g.protocol,
		Generation: g.generation, Leader: g.leader,
	}
	for _, mem := range g.members {
		s := &controlpb.GroupMember{
			Id: mem.id, InstanceId: mem.instance, ClientId: mem.clientID, ClientHost: mem.clientHost,
			SessionTimeoutMs: mem.sessionMs, RebalanceTimeoutMs: mem.rebalanceMs, Assignment: assignments[mem.id],
		}
		for _, p := range mem.protocols {
			s.Protocols = append(s.Protocols, &controlpb.GroupProtocol{Name: p.Name, Metadata: p.Metadata})
		}
		cmd.Members = append(cmd.Members, s)
	}
	m.stores[m.token] = g
	m.out.Stores = append(m.out.Stores, Store{Token: m.token, Command: cmd})
	return m.token
}

// Persisted says what became of a Store: 0 when it is applied.
func (m *Machine) Persisted(now int64, token uint64, code int16) {
	g := m.stores[token]
	delete(m.stores, token)
	if g == nil || m.groups[g.name] != g {
		return
	}
	if g.storing == token {
		m.assigned(now, g, code)
	}
	for _, mem := range g.members {
		if mem.replaceTok == token {
			m.replacedStored(mem, code)
		}
	}
}

// memberBytes is what a member takes in memory and, with something to spare, in
// the command that stores it.
func memberBytes(m *member) int {
	n := 64 + len(m.id) + len(m.instance) + len(m.clientID) + len(m.clientHost)
	for _, p := range m.protocols {
		n += 16 + len(p.Name) + len(p.Metadata)
	}
	return n
}

// pendingBytes is what an id takes that was handed out.
func pendingBytes(id string) int { return 192 + len(id) }

func refusedJoin(member string, code int16) *JoinReply {
	return &JoinReply{Code: code, Generation: -1, Member: member}
}
