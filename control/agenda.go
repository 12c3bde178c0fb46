package control

import (
	"cmp"
	"math"

	"github.com/tidwall/btree"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// dueKind says what is to be done.
type dueKind uint8

const (
	dueRetention dueKind = iota + 1 // of a partition: drop its oldest entries
	dueSession                      // ended: forget it and its answers
	dueNode                         // of an agent that is gone: forget its node id
	dueOffsets                      // of a consumer group without members
	dueGrant                        // its time is over: watches are to be looked at again
	dueToken                        // its time is over: forget it
)

// due is one thing to be done at a time. The agenda holds exactly those that follow from the rest
// of the state, so that a state read from a snapshot does the same things in the same order.
type due struct {
	at     int64
	kind   dueKind
	number uint64 // of the partition or session
	name   string // of the node, group or grant; a token's hash
	place  uint32 // of the partition; follows from number
}

// never is later than any time.
const never = math.MaxInt64

func newAgenda() *btree.BTreeG[due] {
	less := func(a, b due) bool {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind),
			cmp.Compare(a.number, b.number), cmp.Compare(a.name, b.name)) < 0
	}
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
}

// planAgenda writes the agenda anew from the state. When the limits have changed, what expires
// when is reckoned anew as well.
func (s *State) planAgenda(changed bool) {
	s.agenda = newAgenda()
	s.topics.Scan(func(_ string, t *topicEntry) bool {
		for _, place := range t.places {
			s.partitions.Mut(place).due = never
			s.replan(place, t)
		}
		return true
	})
	s.sessions.Scan(func(_ uint64, x *session) bool {
		if x.ended {
			s.agenda.Set(s.dueOfSession(x))
		}
		return true
	})
	s.nodes.Scan(func(key string, n node) bool {
		if n.session == 0 {
			s.agenda.Set(s.dueOfNode(key, n))
		}
		return true
	})
	s.grants.Scan(func(_ string, g *grant) bool {
		if g.pb.GetUntil() != 0 && !g.expired {
			s.agenda.Set(dueOfGrant(g))
		}
		return true
	})
	s.joinTokens.Scan(func(_ string, t *controlpb.JoinToken) bool {
		s.agenda.Set(dueOfToken(t))
		return true
	})
	for _, name := range s.groups.Keys() {
		s.planGroup(name, changed)
	}
}

func (s *State) planGroup(name string, changed bool) {
	g, _ := s.groups.Get(name)
	at := g.due
	if changed && len(g.members) == 0 && g.offsets.Len() > 0 {
		at = never
		g.offsets.Scan(func(_ string, o CommittedOffset) bool {
			at = min(at, s.expiryOf(g, o))
			return true
		})
		s.mutGroup(name).due = at
	}
	if at != never {
		s.agenda.Set(due{at: at, kind: dueOffsets, name: name})
	}
}

// NextDue is the state time from which on a tick would do something, if anything is due at all.
// A leader that ticks only then writes nothing while its cluster idles.
func (s *State) NextDue() (at int64, ok bool) {
	if len(s.dying) > 0 {
		return s.time, true
	}
	if s.frozen {
		return 0, false
	}
	at = s.nextProducerExpiry()
	if d, some := s.agenda.Min(); some {
		at = min(at, d.at)
	}
	return at, at != never
}

// tick does what is due, at most TickWork steps of it; NextDue tells whether more waits.
// A freeze holds back what expires, not what somebody has deleted.
func (s *State) tick(r *Result) {
	work := s.limits.TickWork
	for work > 0 && len(s.dying) > 0 {
		work -= s.bury(work)
	}
	if s.frozen {
		return
	}
	for work > 0 {
		d, ok := s.agenda.Min()
		if !ok || d.at > s.time {
			break
		}
		switch d.kind {
		case dueRetention:
			work -= s.retain(d.place, work, r)
		case dueSession:
			work -= s.forgetSession(d)
		case dueNode:
			work -= s.forgetNode(d)
		case dueOffsets:
			work -= s.expireOffsets(d.name, work)
		case dueGrant:
			work -= s.expireGrant(d)
		case dueToken:
			work -= s.expireToken(d)
		}
	}
	for work > 0 && s.nextProducerExpiry() <= s.time {
		work -= s.forgetProducer(s.producerIDs.First())
	}
}
