package agentgroup

import (
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	checkEvery   = 200 * time.Millisecond // a round of checks serves all who ask meanwhile
	checkTimeout = 100 * time.Millisecond // silence proves nothing, and is not waited for
)

// Check looks whether the other members' processes still listen, for a caller that is about to
// tell clients to turn to them. Gossip finds a killed process after about a second; its kernel
// refuses connections at once. The client that has just lost its connection asks in that
// second, and many libraries ask again only after five more.
//
// A member whose gossip port refuses is left out of Members, Leader and Owner; one that is silent
// is not, for silence is gossip's to judge. Check takes at most checkTimeout, and one round at a
// time goes on.
func (g *Group) Check() {
	g.checking.Lock()
	defer g.checking.Unlock()
	now := time.Since(g.start)
	if g.checked != 0 && now-g.checked < checkEvery || g.left.Load() {
		return
	}
	refused := refusing(g.others(), g.label())
	g.checked = time.Since(g.start)

	g.mu.Lock()
	defer g.mu.Unlock()
	if maps.Equal(refused, g.refused) {
		return
	}
	g.refused = refused
	g.draw()
}

// others are the gossip addresses of all other members that gossip believes alive, by agent.
func (g *Group) others() map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make(map[string]string, len(g.known))
	for agent, m := range g.known {
		if agent != g.self.Agent {
			all[agent] = m.Gossip
		}
	}
	return all
}

// refusing dials all addresses at once and returns the agents where nothing listens. Where one
// does it is told the group's label and nothing more, as memberlist takes without a word.
func refusing(addresses map[string]string, label string) map[string]bool {
	var mu sync.Mutex
	var dials sync.WaitGroup
	refused := map[string]bool{}
	for agent, address := range addresses {
		dials.Go(func() {
			conn, err := net.DialTimeout("tcp", address, checkTimeout)
			if err == nil {
				// It listens: whether it also reads is gossip's to find out.
				_ = conn.SetDeadline(time.Now().Add(checkTimeout))
				_ = memberlist.AddLabelHeaderToStream(conn, label)
				conn.Close()
			}
			if errors.Is(err, syscall.ECONNREFUSED) {
				mu.Lock()
				refused[agent] = true
				mu.Unlock()
			}
		})
	}
	dials.Wait()
	return refused
}

// draw makes the next ring of the members that are known and do not refuse. The caller holds mu.
func (g *Group) draw() {
	members := make([]Member, 0, len(g.known))
	for _, agent := range slices.Sorted(maps.Keys(g.known)) {
		if !g.refused[agent] {
			members = append(members, g.known[agent])
		}
	}
	g.ring.Store(g.ring.Load().With(time.Since(g.start), members))
}
