package sim

import (
	"strings"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// wallChecks knows the walls by itself, from the changes that were made, and holds every row of every commit to them (I6): what is
// placed was granted at that moment, to the group that the producer id was given to, and what was granted is not denied.
type wallChecks struct {
	w      *World
	grants map[string]*controlpb.Grant
	closed bool
	topics map[topic.ID]string
	owner  map[int64]string // of producer ids
	ids    []int64

	time, frozenAt int64
	frozen         bool
}

func newWallChecks(w *World) *wallChecks {
	return &wallChecks{w: w, grants: map[string]*controlpb.Grant{}, topics: map[topic.ID]string{}, owner: map[int64]string{}}
}

// clock is the time by which grants end.
func (k *wallChecks) clock() int64 {
	if k.frozen {
		return k.frozenAt
	}
	return k.time
}

func (k *wallChecks) applied(s *state.State, c *controlpb.Command, r state.Result) {
	before := k.time
	k.time = max(k.time, c.GetTime())
	switch e := c.GetElect(); {
	case e.GetFrozen() && !k.frozen:
		k.frozen, k.frozenAt = true, before
	case c.GetConfirmClock() != nil:
		k.frozen = false
	}
	if t := c.GetCreateTopic(); t != nil && r.Code == 0 {
		k.topics[topic.ID(t.GetId())] = t.GetName()
	}
	if p := c.GetInitProducer(); p != nil && r.Code == 0 {
		k.owner[r.ProducerID] = p.GetGroup()
		k.ids = append(k.ids, r.ProducerID)
	}
	if ch := c.GetChangeWalls().GetChange(); ch != nil && r.Code == 0 {
		k.changed(s, ch)
	}
}

func (k *wallChecks) changed(s *state.State, ch *controlpb.WallChange) {
	switch {
	case ch.GetPutGrant() != nil:
		k.grants[ch.GetPutGrant().GetName()] = ch.GetPutGrant()
	case ch.GetRemoveGrant() != "":
		delete(k.grants, ch.GetRemoveGrant())
	case ch.GetPutBinding() != nil:
		k.closed = true
	case ch.GetRemoveBinding() != "":
		s.EachSession(func(x state.Session) bool {
			if x.Binding == ch.GetRemoveBinding() {
				k.w.checks.ended[x.ID] = true
			}
			return true
		})
	}
}

// commit is told of the first answer to a commit.
func (k *wallChecks) commit(s *state.State, q *controlpb.CommitRequest, r segment.Reply) {
	m, err := segment.ParseManifest(q.GetManifest())
	x, known := s.Session(q.GetSession())
	if err != nil || r.Outcome != segment.Answered || len(m.Rows) != len(r.Answers) || !known {
		return
	}
	for i, a := range r.Answers {
		k.row(x, q.GetShare(), &m.Rows[i], a)
	}
}

func (k *wallChecks) row(x state.Session, share string, row *segment.Row, a segment.Answer) {
	name, there := k.topics[row.Partition.Topic]
	granted := k.granted(x.Group, share, name)
	owner, owned := k.owner[row.Producer.ID]
	switch {
	case a.Verdict != segment.Refused && !granted:
		k.w.violated("I6: group %s places in topic %s of share %s, and has no grant at %d", x.Group, name, share, k.clock())
	case a.Verdict != segment.Refused && owned && owner != "" && owner != x.Group:
		k.w.violated("I6: group %s goes on with producer %d of group %s", x.Group, row.Producer.ID, owner)
	case a.Code == codeDenied && there && granted && k.w.checks.shares[row.Partition.Topic] == share:
		k.w.violated("I6: group %s is denied topic %s of share %s, and has a grant at %d", x.Group, name, share, k.clock())
	case a.Code == codeForeign && owner == x.Group:
		k.w.violated("I6: group %s is denied producer %d, which is its own", x.Group, row.Producer.ID)
	case a.Code == codeForeign:
		k.w.saw("foreign producer denied")
	}
}

func (k *wallChecks) granted(group, share, name string) bool {
	if !k.closed && share == lands[0].share {
		return true
	}
	for _, g := range k.grants {
		if g.GetGroup() != group || g.GetShare() != share || g.GetAccess() != state.RoleProduce || g.GetUntil() != 0 && k.clock() >= g.GetUntil() {
			continue
		}
		if g.GetTopic() == "" || g.GetTopic() == name || g.GetPrefix() && strings.HasPrefix(name, g.GetTopic()) {
			return true
		}
	}
	return false
}

// another is a producer id that was given to another group, or none.
func (k *wallChecks) another(w *World, group string) int64 {
	if len(k.ids) == 0 {
		return segment.NoProducer
	}
	if id := k.ids[w.rng.IntN(len(k.ids))]; k.owner[id] != group {
		return id
	}
	return segment.NoProducer
}
