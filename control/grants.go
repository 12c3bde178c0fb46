package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// grant lets a group move data of a share or of topics in it. It is never changed, only replaced.
type grant struct {
	pb *controlpb.Grant
	// expired: its time is over, and watchers were told. It is kept for people to see until somebody removes it.
	expired bool
}

// lives says whether the grant holds at a time of the clock.
func (g *grant) lives(now int64) bool {
	return !g.expired && (g.pb.GetUntil() == 0 || now < g.pb.GetUntil())
}

func (g *grant) covers(name string) bool {
	switch pattern := g.pb.GetTopic(); {
	case pattern == "":
		return true
	case g.pb.GetPrefix():
		return strings.HasPrefix(name, pattern)
	default:
		return name == pattern
	}
}

func (s *State) putGrant(in *controlpb.Grant) refused {
	if why := s.checkGrant(in); why.code != 0 {
		return why
	}
	name := in.GetName()
	have, known := s.grants.Get(name)
	if !known && s.grants.Len() >= s.limits.MaxGrants {
		return refuse(codePolicy, "there are %d grants, as many as the cluster may have: remove some that have expired", s.grants.Len())
	}
	if _, room := s.word(in.GetGroup()); !room {
		return refuse(codePolicy, "there are as many groups and shares as the cluster may have (%d)", s.limits.MaxNames)
	}
	if known {
		s.agenda.Delete(dueOfGrant(have))
	}
	s.setGrant(&grant{pb: &controlpb.Grant{
		Name: name, Group: in.GetGroup(), Share: in.GetShare(), Access: in.GetAccess(), Topic: in.GetTopic(),
		Prefix: in.GetPrefix(), Create: in.GetCreate(), Until: in.GetUntil(),
	}})
	return refused{}
}

// setGrant keeps a grant, and what follows from it.
func (s *State) setGrant(g *grant) {
	if have, ok := s.grants.Get(g.pb.GetName()); ok {
		s.dropIndexed(have)
	}
	s.grants.Set(g.pb.GetName(), g)
	s.indexGrant(g)
	if g.pb.GetUntil() != 0 && !g.expired {
		s.agenda.Set(dueOfGrant(g))
	}
}

// indexGrant puts a grant among those of its group, by name, so that of several the same one is found by everybody. The
// list is replaced, for readers may hold it.
func (s *State) indexGrant(g *grant) {
	list := s.grantsOf[g.pb.GetGroup()]
	at, _ := slices.BinarySearchFunc(list, g.pb.GetName(), func(x *grant, name string) int { return strings.Compare(x.pb.GetName(), name) })
	s.grantsOf[g.pb.GetGroup()] = slices.Insert(slices.Clone(list), at, g)
}

func (s *State) dropIndexed(g *grant) {
	list := slices.DeleteFunc(slices.Clone(s.grantsOf[g.pb.GetGroup()]), func(x *grant) bool { return x.pb.GetName() == g.pb.GetName() })
	if len(list) == 0 {
		delete(s.grantsOf, g.pb.GetGroup())
		return
	}
	s.grantsOf[g.pb.GetGroup()] = list
}

func (s *State) checkGrant(in *controlpb.Grant) refused {
	switch {
	case !lawfulName(in.GetName()):
		return lawless("grant", in.GetName())
	case !lawfulName(in.GetGroup()):
		return lawless("group", in.GetGroup())
	case in.GetAccess() != RoleProduce && in.GetAccess() != RoleFetch:
		return refuse(codeInvalidRequest, "grant %q: access %.32q is neither produce nor fetch", in.GetName(), in.GetAccess())
	case in.GetCreate() && in.GetAccess() != RoleProduce:
		return refuse(codeInvalidRequest, "grant %q: only a grant to produce can let topics be created", in.GetName())
	case in.GetPrefix() && in.GetTopic() == "":
		return refuse(codeInvalidRequest, "grant %q: a prefix of topics is empty: leave prefix out to grant the whole share", in.GetName())
	case in.GetTopic() != "" && topic.CheckName(in.GetTopic()) != nil && !(in.GetPrefix() && strings.Trim(in.GetTopic(), ".") == "" && len(in.GetTopic()) <= 2):
		return refuse(codeInvalidRequest, "grant %q: no topic can be named %.80q", in.GetName(), in.GetTopic())
	case in.GetUntil() < 0:
		return refuse(codeInvalidRequest, "grant %q: it ends at a negative time", in.GetName())
	case in.GetUntil() != 0 && in.GetUntil() <= s.clock():
		return refuse(codeInvalidRequest, "grant %q: it ended at %s already", in.GetName(), moment(in.GetUntil()))
	}
	if _, ok := s.shares.Get(in.GetShare()); !ok {
		return s.noShare(fmt.Sprintf("grant %q", in.GetName()), in.GetShare())
	}
	return refused{}
}

func (s *State) removeGrant(name string) refused {
	g, ok := s.grants.Get(name)
	if !ok {
		return refuse(codeNotFound, "there is no grant %.80q", name)
	}
	s.dropGrant(g)
	return refused{}
}

func (s *State) dropGrant(g *grant) {
	s.agenda.Delete(dueOfGrant(g))
	s.dropIndexed(g)
	s.grants.Delete(g.pb.GetName())
}

func dueOfGrant(g *grant) due {
	return due{at: g.pb.GetUntil(), kind: dueGrant, name: g.pb.GetName()}
}

// expireGrant ends a grant whose time is over. Allow has denied since then; now Walls rises, so that watches are looked
// at again.
func (s *State) expireGrant(d due) int {
	s.agenda.Delete(d)
	g, _ := s.grants.Get(d.name)
	s.setGrant(&grant{pb: g.pb, expired: true})
	s.wallsRise()
	return 1
}

// passSlots is how many groups' right to produce to a topic are remembered at the topic.
const passSlots = 4

// pass remembers whether a group may produce to a topic, so that a commit asks about grants once for each change of the walls and
// not for each batch. It is of Apply alone: readers, of which there may be several, ask the grants.
type pass struct {
	walls uint64 // as of which it holds
	group uint16 // word
	until int64  // of the clock; 0: not at all
}

// mayProduce says whether the agents of a group may produce to a topic, by grants alone.
func (s *State) mayProduce(t *topicEntry, group uint16, now int64) bool {
	slot := &t.passes[int(group)%passSlots]
	if slot.walls != s.walls || slot.group != group {
		*slot = pass{walls: s.walls, group: group, until: s.produceUntil(t, group)}
	}
	return now < slot.until
}

// writer finds the binding of a session that may commit: its agent has the role to produce, and neither its binding nor its
// group has lost it.
func (s *State) writer(x *session) (*binding, bool) {
	who := Caller{Session: x.id, Agent: x.agent, Binding: x.binding, Group: s.words[x.group], Roles: x.roles, Open: x.binding == ""}
	st, d := s.stand(&who)
	return st.binding, d.Allowed && s.role(&st, RoleProduce)
}

// mayPlace is allowData for the rows of a commit: it says the same, and asks less. A test holds the two together.
func (s *State) mayPlace(x *session, b *binding, t *topicEntry) bool {
	if t.topic.Share == topic.DefaultShare && s.Open() {
		return true
	}
	return (b == nil || b.covers(t.topic.Share)) && s.mayProduce(t, x.group, s.clock())
}

// produceUntil is the time from which on no grant lets a group produce to a topic, but for a change.
func (s *State) produceUntil(t *topicEntry, group uint16) int64 {
	until := int64(0)
	for _, g := range s.grantsOf[s.words[group]] {
		if g.expired || g.pb.GetShare() != t.topic.Share || g.pb.GetAccess() != RoleProduce || !g.covers(t.topic.Name) {
			continue
		}
		if g.pb.GetUntil() == 0 {
			return never
		}
		until = max(until, g.pb.GetUntil())
	}
	return until
}

func lawless(what, name string) refused {
	return refuse(codeInvalidRequest, "%v", segment.CheckName(what, name))
}
