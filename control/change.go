package control

import (
	"fmt"
	"time"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// refused says why something is not done; code 0: it is.
type refused struct {
	code   int16
	reason string
}

func refuse(code int16, format string, args ...any) refused {
	return refused{code: code, reason: fmt.Sprintf(format, args...)}
}

func (r *Result) refuse(why refused) { r.Code, r.Reason = why.code, why.reason }

// moment writes a time of the state for people.
func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// changeWalls carries out one change of the walls, or says why not. Afterwards Walls has risen, so that whoever lives by
// the walls asks again.
func (s *State) changeWalls(c *controlpb.ChangeWallsCommand, r *Result) {
	why := s.change(c)
	if why.code != 0 {
		r.refuse(why)
		return
	}
	s.wallsRise()
	s.record(&controlpb.AuditEvent{
		Kind: AuditChange, Identity: c.GetIdentity(), Group: groupOf(c.GetChange()), Detail: describeChange(c.GetChange()),
	})
}

func (s *State) change(c *controlpb.ChangeWallsCommand) refused {
	key := c.GetGossipKey()
	switch ch := c.GetChange().GetChange().(type) {
	case *controlpb.WallChange_PutShare:
		return s.putShare(ch.PutShare)
	case *controlpb.WallChange_PutGroup:
		return s.putAgentGroup(ch.PutGroup)
	case *controlpb.WallChange_PutGrant:
		return s.putGrant(ch.PutGrant)
	case *controlpb.WallChange_PutBinding:
		return s.putBinding(ch.PutBinding, key)
	case *controlpb.WallChange_PutJoinToken:
		return s.putJoinToken(ch.PutJoinToken)
	case *controlpb.WallChange_RemoveShare:
		return s.removeShare(ch.RemoveShare)
	case *controlpb.WallChange_RemoveGroup:
		return s.removeAgentGroup(ch.RemoveGroup)
	case *controlpb.WallChange_RemoveGrant:
		return s.removeGrant(ch.RemoveGrant)
	case *controlpb.WallChange_RemoveBinding:
		return s.removeBinding(ch.RemoveBinding, key)
	case *controlpb.WallChange_RevokeGroup:
		return s.revokeGroup(ch.RevokeGroup, key)
	case *controlpb.WallChange_RevokeRole:
		return s.revokeRole(ch.RevokeRole.GetGroup(), ch.RevokeRole.GetRole(), key)
	case *controlpb.WallChange_RotateGroup:
		return s.rotateGroup(ch.RotateGroup, key)
	}
	return refuse(codeInvalidRequest, "the change is none that this control plane knows")
}

// rotateGroup begins to give a group new gossip keys and certificates.
func (s *State) rotateGroup(name string, key []byte) refused {
	if _, ok := s.gossip.Get(name); !ok {
		return refuse(codeNotFound, "group %.80q has no keys: no agent of it has ever logged in", name)
	}
	if why := s.needsKey(name, key); why.code != 0 {
		return why
	}
	s.beginRotation(name, key)
	return refused{}
}

// needsKey refuses a change that takes something from a group without a new key for those who stay.
func (s *State) needsKey(group string, key []byte) refused {
	if _, keyed := s.gossip.Get(group); keyed && !lawfulKey(key) {
		return refuse(codeInvalidRequest, "group %q: a new gossip key has %d bytes, it may have 1 to %d", group, len(key), maxKey)
	}
	return refused{}
}

// Walls rises whenever what Allow says may have changed otherwise than by a call of the caller's own: with every change of
// shares, groups, grants and bindings, and when a grant's time is over. Whoever serves a stream then asks again.
func (s *State) Walls() uint64 { return s.walls }

func (s *State) wallsRise() { s.walls++ }

// groupOf is the group of agents that a change is about, if it is one.
func groupOf(c *controlpb.WallChange) string {
	switch ch := c.GetChange().(type) {
	case *controlpb.WallChange_PutGroup:
		return ch.PutGroup.GetName()
	case *controlpb.WallChange_PutGrant:
		return ch.PutGrant.GetGroup()
	case *controlpb.WallChange_PutBinding:
		return ch.PutBinding.GetGroup()
	case *controlpb.WallChange_PutJoinToken:
		return ch.PutJoinToken.GetGroup()
	case *controlpb.WallChange_RemoveGroup:
		return ch.RemoveGroup
	case *controlpb.WallChange_RevokeGroup:
		return ch.RevokeGroup
	case *controlpb.WallChange_RevokeRole:
		return ch.RevokeRole.GetGroup()
	case *controlpb.WallChange_RotateGroup:
		return ch.RotateGroup
	}
	return ""
}

// describeChange says for people what was changed.
func describeChange(c *controlpb.WallChange) string {
	switch ch := c.GetChange().(type) {
	case *controlpb.WallChange_PutShare:
		return fmt.Sprintf("put share %s in %s", ch.PutShare.GetName(), ch.PutShare.GetBucket())
	case *controlpb.WallChange_PutGroup:
		return "put group " + ch.PutGroup.GetName()
	case *controlpb.WallChange_PutGrant:
		return "put grant " + describeGrant(ch.PutGrant)
	case *controlpb.WallChange_PutBinding:
		return "put binding " + describeBinding(ch.PutBinding)
	case *controlpb.WallChange_PutJoinToken:
		return fmt.Sprintf("put a join token of group %s with roles %v until %s", ch.PutJoinToken.GetGroup(), ch.PutJoinToken.GetRoles(), moment(ch.PutJoinToken.GetUntil()))
	case *controlpb.WallChange_RemoveShare:
		return "remove share " + ch.RemoveShare
	case *controlpb.WallChange_RemoveGroup:
		return "remove group " + ch.RemoveGroup
	case *controlpb.WallChange_RemoveGrant:
		return "remove grant " + ch.RemoveGrant
	case *controlpb.WallChange_RemoveBinding:
		return "remove binding " + ch.RemoveBinding
	case *controlpb.WallChange_RevokeGroup:
		return "revoke group " + ch.RevokeGroup
	case *controlpb.WallChange_RevokeRole:
		return fmt.Sprintf("revoke role %s of group %s", ch.RevokeRole.GetRole(), ch.RevokeRole.GetGroup())
	case *controlpb.WallChange_RotateGroup:
		return "rotate the keys of group " + ch.RotateGroup
	}
	return ""
}

func describeGrant(g *controlpb.Grant) string {
	what := "all of share " + g.GetShare()
	switch {
	case g.GetPrefix():
		what = fmt.Sprintf("topics %s* of share %s", g.GetTopic(), g.GetShare())
	case g.GetTopic() != "":
		what = fmt.Sprintf("topic %s of share %s", g.GetTopic(), g.GetShare())
	}
	text := fmt.Sprintf("%s: group %s may %s %s", g.GetName(), g.GetGroup(), g.GetAccess(), what)
	if g.GetCreate() {
		text += ", and create topics"
	}
	if g.GetUntil() != 0 {
		text += " until " + moment(g.GetUntil())
	}
	return text
}

func describeBinding(b *controlpb.Binding) string {
	m := b.GetMatch()
	text := fmt.Sprintf("%s: %s %s%s%s", b.GetName(), m.GetMethod(), m.GetArn(), m.GetSubject(), m.GetUri())
	if b.GetGroup() != "" {
		text += fmt.Sprintf(" is of group %s with roles %v", b.GetGroup(), b.GetRoles())
	}
	if b.GetAdmin() {
		text += ", with admin"
	}
	return text
}

// DescribeWalls lists shares, groups, grants and bindings, each by name; grants whose time is over are among them.
func (s *State) DescribeWalls() *controlpb.WallsResponse {
	w := &controlpb.WallsResponse{Open: s.Open()}
	s.shares.Scan(func(_ string, sh share) bool { w.Shares = append(w.Shares, sh.pb); return true })
	s.agentGroups.Scan(func(_ string, g *controlpb.AgentGroup) bool { w.Groups = append(w.Groups, g); return true })
	s.grants.Scan(func(_ string, g *grant) bool { w.Grants = append(w.Grants, g.pb); return true })
	s.bindings.Scan(func(_ string, b *binding) bool { w.Bindings = append(w.Bindings, b.pb); return true })
	return w
}
