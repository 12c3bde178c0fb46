package control

import (
	"math"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// ShareFor is the share of a topic that a caller has created by asking for it: that of the grant which says most about the
// name, the topic itself before a longer prefix, a longer one before a shorter, and any before all of a share. Operators, and
// everybody while there are no bindings, create topics in the default share.
func (s *State) ShareFor(who Caller, name string) (share string, d Decision) {
	st, d := s.stand(&who)
	if !d.Allowed {
		return "", d
	}
	if st.admin || st.open {
		return topic.DefaultShare, s.Allow(who, Call{Kind: CallCreateTopic, Share: topic.DefaultShare, Topic: name})
	}
	d = deny(codeTopicDenied, notGranted(&st, Call{Topic: name}, "create"))
	now, most := s.clock(), -1
	for _, g := range s.grantsOf[st.group] {
		in := g.pb.GetShare()
		says := specific(g)
		if !g.pb.GetCreate() || !g.lives(now) || !g.covers(name) || says < most || says == most && in != topic.DefaultShare {
			continue
		}
		if allowed := s.Allow(who, Call{Kind: CallCreateTopic, Share: in, Topic: name}); allowed.Allowed {
			share, d, most = in, allowed, says
		}
	}
	return share, d
}

// specific says how much a grant says about the names that it covers.
func specific(g *grant) int {
	if g.pb.GetTopic() != "" && !g.pb.GetPrefix() {
		return math.MaxInt
	}
	return len(g.pb.GetTopic())
}
