package agentgroup

import (
	"cmp"
	"net"
	"slices"
	"strconv"
)

// Member is a living agent of the group. Its slices are shared and never changed.
type Member struct {
	NodeID  int32    // the broker id that Kafka clients see
	Agent   string   // drawn at the process's start: one life of one process
	Session uint64   // with the control plane; a later one is higher
	Roles   []string // produce, fetch, jobs
	Zone    string   // availability zone; empty if none was told
	Host    string   // Kafka, as advertised
	Port    int32    // Kafka, as advertised
	Kafka   string   // Host:Port
	Gossip  string   // host:port
	Peer    string   // host:port of the chunk server; empty without one
	// Settled is said by the member itself once it has lived for the settling time, so that all
	// who hear of it draw the same ring without comparing clocks.
	Settled bool
	// Cut is said by the member itself while the control plane or a bucket does not answer it.
	Cut bool
}

// HasRole reports whether the member has the role; "" asks for none.
func (m *Member) HasRole(role string) bool { return role == "" || slices.Contains(m.Roles, role) }

// normal fills Host and Port from Kafka, or Kafka from them.
func (m Member) normal() Member {
	if m.Host == "" && m.Kafka != "" {
		if host, port, err := net.SplitHostPort(m.Kafka); err == nil {
			if n, err := strconv.ParseUint(port, 10, 16); err == nil {
				m.Host, m.Port = host, int32(n)
			}
		}
	}
	m.Kafka = ""
	if m.Host != "" {
		m.Kafka = net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port)))
	}
	return m
}

// resolve sorts members by node id and keeps one for each node id and for each gossip address:
// that of the newest session. An agent that was killed and started again on the same port is
// known twice until its first life is declared dead.
func resolve(members []Member) []Member {
	newestFirst := slices.Clone(members)
	slices.SortFunc(newestFirst, func(a, b Member) int {
		return cmp.Or(cmp.Compare(b.Session, a.Session), cmp.Compare(a.NodeID, b.NodeID), cmp.Compare(a.Agent, b.Agent))
	})
	ids, addresses := map[int32]bool{}, map[string]bool{}
	kept := newestFirst[:0]
	for _, m := range newestFirst {
		if ids[m.NodeID] || m.Gossip != "" && addresses[m.Gossip] {
			continue
		}
		ids[m.NodeID], addresses[m.Gossip] = true, true
		kept = append(kept, m)
	}
	slices.SortFunc(kept, func(a, b Member) int { return cmp.Compare(a.NodeID, b.NodeID) })
	return kept
}
