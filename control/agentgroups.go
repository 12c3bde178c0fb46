package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// Bounds of what is said of a group, for people to read.
const (
	maxZones = 32
	maxNote  = 1024 // bytes
)

// putAgentGroup makes a group of agents known, or changes what is known of it. A group needs none of it: to be named by a
// binding, a grant or, while there are no bindings, an agent is enough.
func (s *State) putAgentGroup(in *controlpb.AgentGroup) refused {
	name := in.GetName()
	if !lawfulName(name) {
		return lawless("group", name)
	}
	about := fmt.Sprintf("group %q", name)
	g := &controlpb.AgentGroup{Name: name, Roles: sorted(in.GetRoles()), Zones: sorted(in.GetZones()), Note: in.GetNote(), Quota: lawfulQuota(in.GetQuota())}
	switch {
	case len(g.GetZones()) > maxZones:
		return refuse(codeInvalidRequest, "%s: %d zones, at most %d", about, len(g.GetZones()), maxZones)
	case len(g.GetNote()) > maxNote:
		return refuse(codeInvalidRequest, "%s: a note of %d bytes, at most %d", about, len(g.GetNote()), maxNote)
	case in.GetQuota() != nil && g.GetQuota() == nil:
		return refuse(codeInvalidRequest, "%s: a quota is negative; 0 is no bound", about)
	}
	for _, zone := range g.GetZones() {
		if zone == "" || len(zone) > maxZone {
			return refuse(codeInvalidRequest, "%s: zone %.80q is empty or longer than %d bytes", about, zone, maxZone)
		}
	}
	for _, role := range g.GetRoles() {
		if role != RoleProduce && role != RoleFetch && role != RoleJobs {
			return refuse(codeInvalidRequest, "%s: role %.32q is neither produce nor fetch nor jobs", about, role)
		}
	}
	word, room := s.word(name)
	if !room {
		return refuse(codePolicy, "there are as many groups and shares as the cluster may have (%d)", s.limits.MaxNames)
	}
	s.agentGroups.Set(name, g)
	if len(g.GetRoles()) > 0 {
		s.endSessions(func(x *session) bool {
			return x.group == word && slices.ContainsFunc(x.roles, func(role string) bool { return !slices.Contains(g.GetRoles(), role) })
		})
	}
	return refused{}
}

// lawfulQuota is a copy, or nil if there is none or it is negative somewhere.
func lawfulQuota(q *controlpb.Quota) *controlpb.Quota {
	for _, n := range []int64{q.GetBytesIn(), q.GetBytesOut(), q.GetRequests(), q.GetConnections(), q.GetProducerIds(), q.GetPartitions()} {
		if n < 0 {
			return nil
		}
	}
	if q == nil {
		return nil
	}
	return &controlpb.Quota{
		BytesIn: q.GetBytesIn(), BytesOut: q.GetBytesOut(), Requests: q.GetRequests(), Connections: q.GetConnections(),
		ProducerIds: q.GetProducerIds(), Partitions: q.GetPartitions(),
	}
}

// removeAgentGroup forgets what is known of a group that nothing names any more.
func (s *State) removeAgentGroup(name string) refused {
	if _, ok := s.agentGroups.Get(name); !ok {
		return refuse(codeNotFound, "nothing is known of group %.80q", name)
	}
	var named []string
	for _, g := range s.grantsOf[name] {
		named = append(named, fmt.Sprintf("grant %q", g.pb.GetName()))
	}
	s.bindings.Scan(func(_ string, b *binding) bool {
		if b.pb.GetGroup() == name {
			named = append(named, fmt.Sprintf("binding %q", b.pb.GetName()))
		}
		return true
	})
	if len(named) > 0 {
		return refuse(codeNonEmptyGroup, "group %q is named by %s: remove them before, or revoke the group", name, some(named))
	}
	s.agentGroups.Delete(name)
	return refused{}
}

// some lists a few of many.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// revokeGroup takes everything from a group: its bindings, its grants and its keys. A join token of it is void.
func (s *State) revokeGroup(name string, key []byte) refused {
	bindings, why := s.bindingsOf(name)
	if why.code != 0 {
		return why
	}
	grants := s.grantsOf[name]
	_, keyed := s.gossip.Get(name)
	if len(bindings)+len(grants) == 0 && !keyed {
		return refuse(codeNotFound, "group %.80q has no bindings, grants or keys", name)
	}
	if why := s.needsKey(name, key); why.code != 0 {
		return why
	}
	for _, b := range bindings {
		s.dropBinding(b)
	}
	for _, g := range grants {
		s.dropGrant(g)
	}
	s.dropTokensOf(name)
	if word, ok := s.wordOf[name]; ok {
		s.endSessions(func(x *session) bool { return x.group == word })
	}
	s.replaceKeys(name, key)
	return refused{}
}

// bindingsOf are those of a group, unless all admin would go with them while others stay.
func (s *State) bindingsOf(group string) (of []*binding, why refused) {
	admins := 0
	s.bindings.Scan(func(_ string, b *binding) bool {
		if group != "" && b.pb.GetGroup() == group {
			of = append(of, b)
			if b.pb.GetAdmin() {
				admins++
			}
		}
		return true
	})
	if admins > 0 && admins == s.admins() {
		return nil, refuse(codePolicy, "group %q has the last binding with admin: give admin to another before", group)
	}
	return of, refused{}
}

// revokeRole takes one role from a group: from its bindings, and with it the grants of its access.
func (s *State) revokeRole(group, role string, key []byte) refused {
	access := role
	if role == RoleJobs {
		access = ""
	}
	if role != RoleProduce && role != RoleFetch && role != RoleJobs {
		return refuse(codeInvalidRequest, "role %.32q is neither produce nor fetch nor jobs", role)
	}
	var changed []*binding
	s.bindings.Scan(func(_ string, b *binding) bool {
		if b.pb.GetGroup() == group && slices.Contains(b.pb.GetRoles(), role) {
			changed = append(changed, b)
		}
		return true
	})
	taken := slices.DeleteFunc(slices.Clone(s.grantsOf[group]), func(g *grant) bool { return g.pb.GetAccess() != access })
	if len(changed)+len(taken) == 0 {
		return refuse(codeNotFound, "group %.80q has neither a binding with the role %s nor a grant to %s", group, role, role)
	}
	if why := s.needsKey(group, key); why.code != 0 {
		return why
	}
	gone := 0 // bindings with admin that would be left without a role
	for _, b := range changed {
		if b.pb.GetAdmin() && len(b.pb.GetRoles()) == 1 {
			gone++
		}
	}
	if gone > 0 && gone == s.admins() {
		return refuse(codePolicy, "group %q has no other role and the last binding with admin: give admin to another before", group)
	}
	for _, b := range changed {
		s.takeRole(b, role)
	}
	for _, g := range taken {
		s.dropGrant(g)
	}
	if word, ok := s.wordOf[group]; ok {
		s.endSessions(func(x *session) bool { return x.group == word && slices.Contains(x.roles, role) })
	}
	s.beginRotation(group, key)
	return refused{}
}

// takeRole replaces a binding by one without a role; one that has no other goes.
func (s *State) takeRole(b *binding, role string) {
	next := normalBinding(b.pb)
	next.Roles = slices.DeleteFunc(next.Roles, func(r string) bool { return r == role })
	if len(next.Roles) == 0 {
		s.dropBinding(b)
		return
	}
	s.setBinding(&binding{pb: next, joined: b.joined})
}

// Quota is a group's; nil: none.
func (s *State) Quota(group string) *controlpb.Quota {
	g, _ := s.agentGroups.Get(group)
	return g.GetQuota()
}

// Agents counts the agents of a group that are logged in; they share its quota.
func (s *State) Agents(group string) int32 {
	word, ok := s.wordOf[group]
	if !ok {
		return 0
	}
	return s.liveOf[word]
}
