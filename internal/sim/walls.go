package sim

import (
	"slices"
	"strings"
	"time"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// tenants is a second group that produces, in a share of its own beside those of the first.
const tenants = "tenants"

// yards are the tenants' topics, in their share.
var yards = [...]land{{"yard", "yard-in", topic.ID{0xA: 9}}, {"yard", "yard-out", topic.ID{0xA: 10}}}

// change is one change of the walls, as an operator's.
func change(c *controlpb.WallChange) *controlpb.Command {
	return &controlpb.Command{Op: &controlpb.Command_ChangeWalls{ChangeWalls: &controlpb.ChangeWallsCommand{
		Change: c, Identity: "keeper", GossipKey: make([]byte, 32),
	}}}
}

func putGrant(g *controlpb.Grant) *controlpb.Command {
	return change(&controlpb.WallChange{Change: &controlpb.WallChange_PutGrant{PutGrant: g}})
}

// putBinding lets a group in; without one it is an operator's.
func putBinding(name, group string, roles ...string) *controlpb.Command {
	return change(&controlpb.WallChange{Change: &controlpb.WallChange_PutBinding{PutBinding: &controlpb.Binding{
		Name: name, Group: group, Roles: roles, Admin: group == "",
		Match: &controlpb.Match{Method: state.MethodMTLS, Uri: "spiffe://sim/" + name},
	}}})
}

// raise begins a run with its walls: whom each share is granted to and, in closed runs, who is who. Open ones have no
// bindings; there the share default is everybody's.
func (w *World) raise() (commands []*controlpb.Command) {
	for _, l := range lands {
		for group, access := range map[string]string{groupName: state.RoleProduce, liars: state.RoleProduce, readers: state.RoleFetch} {
			commands = append(commands, putGrant(&controlpb.Grant{Name: group + "-" + l.share, Group: group, Share: l.share, Access: access}))
		}
	}
	slices.SortFunc(commands, func(a, b *controlpb.Command) int {
		return strings.Compare(a.GetChangeWalls().GetChange().GetPutGrant().GetName(), b.GetChangeWalls().GetChange().GetPutGrant().GetName())
	})
	if w.closed = w.rng.IntN(2) == 0; w.closed {
		commands = append(commands, putBinding("keeper", ""), putBinding(groupName, groupName, state.RoleProduce),
			putBinding(liars, liars, state.RoleProduce, state.RoleFetch, state.RoleJobs), putBinding(readers, readers, state.RoleFetch),
			putBinding(tenants, tenants, state.RoleProduce))
	}
	return commands
}

// reader is who the fetching agents are to the walls.
func (w *World) reader() state.Caller {
	who := state.Caller{Session: 1 << 40, Agent: "fetcher", Group: readers, Roles: []string{state.RoleFetch}, Open: !w.closed}
	if w.closed {
		who.Binding = readers
	}
	return who
}

// tenant is an agent of the second group, and the operator who grants it this and that, until then or for good, and takes it
// away again. It commits to its own share and to others', with its own producer id and with those of others, and does not mind
// what it is told.
type tenant struct {
	w       *World
	index   int
	control *node
	session uint64
	life    int
	last    map[string]uint64
	batches int
	id      int64
	next    map[topic.Partition]int32 // sequences of id
}

func newTenant(w *World, index int) *tenant { return &tenant{w: w, index: index, id: -1} }

func (t *tenant) run() {
	t.w.after(t.w.between(50*time.Millisecond, 800*time.Millisecond), "tenant", func() {
		if t.w.quiet {
			return
		}
		if t.control = t.w.control.reached(t.control); t.control != nil {
			t.act()
		}
		t.run()
	})
}

func (t *tenant) act() {
	switch n := t.w.rng.IntN(10); {
	case n < 3:
		t.change()
	case t.session == 0:
		t.login()
	case t.id < 0:
		t.control.initProducer(tenants, func(id int64) { t.id, t.next = id, map[topic.Partition]int32{} })
	default:
		t.commit()
	}
}

func (t *tenant) login() {
	t.life++
	t.control.tryLogin("tenant", tenants, []string{state.RoleProduce}, func(session uint64) {
		t.session, t.last = session, map[string]uint64{}
	})
}

// change is the operator's: grants come, end and go, and the binding with them.
func (t *tenant) change() {
	until := int64(0)
	if t.w.rng.IntN(3) > 0 {
		until = t.w.unix() + t.w.rng.Int64N(20_000)
	}
	g := &controlpb.Grant{Name: "yard", Group: tenants, Share: yards[0].share, Access: state.RoleProduce, Until: until}
	switch t.w.rng.IntN(10) {
	case 0, 1:
	case 2:
		g.Name, g.Topic = "one", yards[t.w.rng.IntN(len(yards))].name
	case 3:
		g.Name, g.Topic, g.Prefix = "some", "yard", true
	case 4:
		g.Name, g.Share = "guest", lands[1].share
	case 5:
		g.Name, g.Access = "reading", state.RoleFetch
	case 6:
		t.propose(change(&controlpb.WallChange{Change: &controlpb.WallChange_RemoveBinding{RemoveBinding: tenants}}))
		return
	case 7:
		t.propose(putBinding(tenants, tenants, state.RoleProduce))
		return
	default:
		name := []string{"yard", "one", "some", "guest"}[t.w.rng.IntN(4)]
		t.propose(change(&controlpb.WallChange{Change: &controlpb.WallChange_RemoveGrant{RemoveGrant: name}}))
		return
	}
	t.propose(putGrant(g))
}

// propose leaves the bindings alone in open runs.
func (t *tenant) propose(c *controlpb.Command) {
	ch := c.GetChangeWalls().GetChange()
	if !t.w.closed && (ch.GetPutBinding() != nil || ch.GetRemoveBinding() != "") {
		return
	}
	t.control.propose(c, func(r state.Result) { t.w.tell("the keeper's %v: %d", ch, r.Code) })
}

// commit asks for places of a batch in each of its topics, or in another's.
func (t *tenant) commit() {
	share, targets := yards[0].share, []topic.Partition{{Topic: yards[0].id}, {Topic: yards[1].id}}
	if t.w.rng.IntN(4) == 0 {
		l := lands[t.w.rng.IntN(len(lands))]
		share, targets = l.share, []topic.Partition{{Topic: l.id}}
	}
	b := segment.NewBuilder(clusterName, share)
	own := map[int]int32{} // by row: the sequence after it
	for i, p := range targets {
		x := &copyOf{batch: batchID{t.index, t.batches}, try: 1, producer: -1, records: 1}
		t.batches++
		switch {
		case share != yards[0].share:
		case t.w.rng.IntN(3) == 0:
			x.producer, x.sequence = t.id, t.next[p]
			own[i] = x.sequence + 1
		case t.w.rng.IntN(4) == 0:
			x.producer = t.w.checks.walls.another(t.w, tenants)
		}
		b.Add(p, x.bytes(t.w.unix()))
	}
	c := &segment.Commit{Session: t.session, Share: share, After: t.last[share], Sequence: t.last[share] + 1, Acked: t.last[share]}
	for i := range c.Nonce {
		c.Nonce[i] = byte(t.w.rng.Uint32())
	}
	id := segment.ID{Incarnation: 1, Session: c.Session, Sequence: c.Sequence}
	sealed, err := b.Finish(id)
	if err != nil {
		t.w.violated("seal a segment of a tenant: %v", err)
		return
	}
	c.Manifest = sealed.Manifest
	t.w.bucket.land(segment.Key(clusterName, segment.Object{Share: share, Group: tenants, ID: id, Nonce: c.Nonce}), slices.Concat(sealed.Body...))
	life := t.life
	t.control.order(c, func(r segment.Reply) {
		if t.life != life {
			return
		}
		t.last[share] = max(t.last[share], r.Last)
		t.answered(c, r, own)
	})
}

func (t *tenant) answered(c *segment.Commit, r segment.Reply, own map[int]int32) {
	switch {
	case r.Outcome == segment.SessionEnded, r.Outcome == segment.Unauthorized:
		t.session, t.id = 0, -1
		t.w.saw("tenant logged out")
		return
	case r.Outcome != segment.Answered || len(r.Answers) != len(c.Manifest.Rows):
		return
	}
	for i, a := range r.Answers {
		p := c.Manifest.Rows[i].Partition
		switch {
		case a.Verdict == segment.Placed:
			t.w.saw("tenant placed")
		case a.Code == codeDenied:
			t.w.saw("tenant denied")
		}
		if next, mine := own[i]; mine && a.Verdict == segment.Placed {
			t.next[p] = max(t.next[p], next)
		}
	}
}
