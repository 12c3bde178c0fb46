package agentgroup

import (
	"fmt"

	"github.com/hashicorp/memberlist"
)

// maxMembers bounds what a holder of the key can make this agent remember.
const maxMembers = 4096

// delegate is what memberlist calls. The Notify methods run under memberlist's lock: they are
// short and call nothing of memberlist.
type delegate struct{ g *Group }

// NodeMeta is what this agent gossips about itself.
func (d delegate) NodeMeta(int) []byte { return appendMeta(nil, d.g.Self()) }

// NotifyAlive refuses members whose meta cannot be read.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	_, err := memberOf(n)
	if err == nil {
		err = d.g.room(n.Name)
	}
	if err != nil {
		d.g.metrics.refused.Inc()
	}
	return err
}

func (g *Group) room(agent string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.known[agent]; !ok && len(g.known) >= maxMembers {
		return fmt.Errorf("group has %d members already", maxMembers)
	}
	return nil
}

func (d delegate) NotifyJoin(n *memberlist.Node)   { d.g.heard("join", n) }
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.g.heard("update", n) }
func (d delegate) NotifyLeave(n *memberlist.Node)  { d.g.heard("leave", n) }

// NotifyConflict tells of two living agents of one name, which are drawn at random: one of
// them is a copy, or an address has changed under it.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.g.log.Warn("two agents of one name gossip", "agent", existing.Name, "at", existing.Address(), "and", other.Address())
}

// Nothing but metas is gossiped.
func (d delegate) NotifyMsg([]byte)                {}
func (d delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d delegate) LocalState(bool) []byte          { return nil }
func (d delegate) MergeRemoteState([]byte, bool)   {}

// heard takes one change and draws the next ring.
func (g *Group) heard(change string, n *memberlist.Node) {
	g.metrics.changes.WithLabelValues(change).Inc()
	m, err := memberOf(n)
	if err != nil && change != "leave" {
		// NotifyAlive has refused it before; a member whose update is unreadable keeps the old meta.
		g.log.Warn("gossip of a member cannot be read", "agent", n.Name, "error", err)
		return
	}
	g.mu.Lock()
	if change == "leave" {
		delete(g.known, n.Name)
	} else {
		g.known[n.Name] = m
	}
	g.draw()
	members := len(g.known)
	g.mu.Unlock()
	g.log.Debug("member changed", "change", change, "agent", n.Name, "node", m.NodeID, "members", members)
	if g.onChange != nil {
		g.onChange()
	}
}

func memberOf(n *memberlist.Node) (Member, error) {
	m, err := parseMeta(n.Meta)
	if err != nil {
		return Member{}, err
	}
	m.Agent, m.Gossip = n.Name, n.Address()
	return m, nil
}
