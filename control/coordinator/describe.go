package coordinator

import (
	"maps"
	"slices"
)

// Description is what is known of a group.
type Description struct {
	Group        string
	State        State
	ProtocolType string
	Protocol     string // empty unless the group is stable
	Generation   int32
	Members      []MemberDescription
}

// MemberDescription is what is known of a member. Metadata is what it says to
// the group's protocol; it and Assignment are set only while the group is stable.
type MemberDescription struct {
	ID, Instance         string
	ClientID, ClientHost string
	Metadata, Assignment []byte
}

// Describe tells of one group.
func (m *Machine) Describe(name string) (Description, bool) {
	g := m.groups[name]
	if g == nil {
		return Description{Group: name, State: Dead}, false
	}
	d := Description{Group: name, State: g.state, ProtocolType: g.protocolType, Generation: g.generation}
	if g.state == Stable {
		d.Protocol = g.protocol
	}
	for _, mem := range g.members {
		md := MemberDescription{ID: mem.id, Instance: mem.instance, ClientID: mem.clientID, ClientHost: mem.clientHost}
		if g.state == Stable {
			md.Metadata, md.Assignment = mem.metadata(g.protocol), mem.assignment
		}
		d.Members = append(d.Members, md)
	}
	return d, true
}

// Groups lists the groups by name.
func (m *Machine) Groups() []Description {
	out := make([]Description, 0, len(m.groups))
	for _, name := range slices.Sorted(maps.Keys(m.groups)) {
		g := m.groups[name]
		out = append(out, Description{Group: name, State: g.state, ProtocolType: g.protocolType, Generation: g.generation})
	}
	return out
}

// Idle lists the groups that have been empty, without ids handed out, since the
// given time: those that the state does not know any more can be dropped.
func (m *Machine) Idle(since int64) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m.groups)) {
		g := m.groups[name]
		if g.state == Empty && len(g.pending) == 0 && g.idleSince <= since {
			out = append(out, name)
		}
	}
	return out
}

// Sizes counts groups, members and parked requests, for metrics.
func (m *Machine) Sizes() (groups, members, parked int) {
	for _, g := range m.groups {
		members += len(g.members)
	}
	return len(m.groups), members, len(m.parked)
}
