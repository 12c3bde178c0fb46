package coordinator

import (
	"bytes"
	"slices"
)

// State is what a group is doing, in Kafka's words.
type State string

const (
	Empty               State = "Empty"
	PreparingRebalance  State = "PreparingRebalance"
	CompletingRebalance State = "CompletingRebalance"
	Stable              State = "Stable"
	// Dead is said of a group that is not known; no group here is ever in it.
	Dead State = "Dead"
)

// group is one group. Members stand in the order in which they joined.
type group struct {
	name         string
	state        State
	fromEmpty    bool // PreparingRebalance was entered from Empty: the initial delay runs
	generation   int32
	leap         int32 // what the next generation skips: a former leader may have told of it
	protocolType string
	protocol     string // empty outside of a generation with members
	leader       string // a member's id; empty when there are no members

	members []*member
	byID    map[string]*member
	static  map[string]*member // by instance id
	pending map[string]*timer  // ids handed out and not yet used
	bytes   int                // of all members
	total   *int               // bytes of all groups, pending ids included

	newMemberAdded bool  // the initial delay is worth extending
	delayMs        int64 // of the round of the initial delay that runs
	remainingMs    int64 // what may still be added to the initial delay

	joinTimer timer
	syncTimer timer
	storing   uint64 // token of the assignment being stored; 0: none
	assigning []Assignment
	idleSince int64 // when it last became or was found empty
}

// member is one member. It is parked in at most one of join and sync.
type member struct {
	id, instance         string
	clientID, clientHost string
	sessionMs            int32
	rebalanceMs          int32
	protocols            []Protocol
	assignment           []byte
	bytes                int

	isNew      bool // has not yet been in a completed generation
	knowsID    bool // its client was told its id before it joined with it
	joining    bool // awaits a JoinGroup answer, or would but for Forget
	join       RequestID
	syncing    bool
	sync       RequestID
	pendSync   bool // has not asked for its assignment in this generation
	replacing  RequestID
	replaceTok uint64 // the store that must be applied before replacing is answered
	replaced   *JoinReply
	session    timer
}

func newGroup(name string, total *int) *group {
	g := &group{
		name:    name,
		total:   total,
		state:   Empty,
		byID:    map[string]*member{},
		static:  map[string]*member{},
		pending: map[string]*timer{},
	}
	g.joinTimer = timer{kind: timerJoin, group: g}
	g.syncTimer = timer{kind: timerSync, group: g}
	return g
}

// add takes a member in. The first one gives the group its protocol type and
// leads it.
func (g *group) add(m *member) {
	if len(g.members) == 0 {
		g.leader = m.id
	}
	m.session.group, m.session.member = g, m
	g.members = append(g.members, m)
	g.byID[m.id] = m
	if m.instance != "" {
		g.static[m.instance] = m
	}
	g.grow(m.bytes)
}

// grow counts bytes of members that came, or went.
func (g *group) grow(bytes int) {
	g.bytes += bytes
	*g.total += bytes
}

// remove lets a member go; the leadership passes to the member that has been
// here longest.
func (g *group) remove(m *member) {
	m.session.disarm()
	delete(g.byID, m.id)
	if m.instance != "" && g.static[m.instance] == m {
		delete(g.static, m.instance)
	}
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
	g.grow(-m.bytes)
	if g.leader == m.id {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
}

// rename gives a static member the id of its new life.
func (g *group) rename(m *member, id string) {
	delete(g.byID, m.id)
	if g.leader == m.id {
		g.leader = id
	}
	g.resize(m, m.bytes+len(id)-len(m.id))
	m.id = id
	g.byID[id] = m
}

func (g *group) resize(m *member, bytes int) {
	g.grow(bytes - m.bytes)
	m.bytes = bytes
}

// fenced reports whether another member now carries this instance id.
func (g *group) fenced(id, instance string) bool {
	m := g.static[instance]
	return instance != "" && m != nil && m.id != id
}

// check finds the member that a request speaks of, or says why it may not.
func (g *group) check(id, instance string) (*member, int16) {
	if g.fenced(id, instance) {
		return nil, codeFencedInstance
	}
	m := g.byID[id]
	if m == nil || instance != "" && g.static[instance] == nil {
		return nil, codeUnknownMember
	}
	return m, codeNone
}

// supports reports whether a member with these protocols could take part.
func (g *group) supports(protocolType string, protocols []Protocol) bool {
	if g.state == Empty {
		return protocolType != "" && len(protocols) > 0
	}
	if protocolType != g.protocolType {
		return false
	}
	return slices.ContainsFunc(protocols, func(p Protocol) bool { return g.everyone(p.Name) })
}

// everyone reports whether all members know the protocol.
func (g *group) everyone(name string) bool {
	for _, m := range g.members {
		if m.metadata(name) == nil {
			return false
		}
	}
	return true
}

// vote picks the protocol that most members like best among those that all
// know; of two with as many votes, the one that was voted for first.
func (g *group) vote() string {
	votes := map[string]int{}
	best := ""
	var order []string
	for _, m := range g.members {
		for _, p := range m.protocols {
			if !g.candidate(p.Name, votes) {
				continue
			}
			if votes[p.Name] == 0 {
				order = append(order, p.Name)
			}
			votes[p.Name]++
			break
		}
	}
	for _, name := range order {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// candidate is everyone, remembering that a protocol with a vote has passed.
func (g *group) candidate(name string, votes map[string]int) bool {
	return votes[name] > 0 || g.everyone(name)
}

// rebalanceMs is how long members have to join: the longest that one asked for.
func (g *group) rebalanceMs() int64 {
	longest := int32(0)
	for _, m := range g.members {
		longest = max(longest, m.rebalanceMs)
	}
	return int64(longest)
}

// allJoined reports whether nobody is waited for.
func (g *group) allJoined() bool {
	return len(g.pending) == 0 && g.joined() == len(g.members)
}

func (g *group) joined() int {
	n := 0
	for _, m := range g.members {
		if m.joining {
			n++
		}
	}
	return n
}

// staying counts the members that the end of the rebalance will find.
func (g *group) staying() int {
	n := 0
	for _, m := range g.members {
		if m.joining || m.instance != "" {
			n++
		}
	}
	return n
}

// metadata is what the member says to the protocol; nil: it does not know it.
func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			if p.Metadata == nil {
				return []byte{}
			}
			return p.Metadata
		}
	}
	return nil
}

// matches reports whether the member says the same as before.
func (m *member) matches(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}
