package sim

import (
	"fmt"
	"slices"
	"time"
)

// groups is the consumer groups of a run: their members, what befalls these, and whether all ends well. It
// stands among the clients, for a run waits for it.
type groups struct {
	w       *World
	checks  *groupChecks
	nodes   map[*node]*counter
	members []*member
	parts   int

	calmSince  time.Duration // every group has been whole since then; 0: not now
	failedOver bool
	generation map[string]int32 // at the failover in the quiet
	over       bool
}

// newGroups makes two groups: one of dynamic members, one with static ones in it.
func newGroups(w *World, partitions int) *groups {
	g := &groups{w: w, checks: newGroupChecks(w), nodes: map[*node]*counter{}, parts: partitions}
	for _, n := range w.control.nodes {
		c := newCounter(n)
		g.nodes[n] = c
		n.services = append(n.services, c)
	}
	for i, h := range customs {
		g.add("dynamic", fmt.Sprintf("%s-%d", h.name, i), "", h)
	}
	double := g.add("static", "double", instancePrefix+"0", customs[2])
	double.double = true
	for i, h := range customs[:3] {
		instance := ""
		if i < 2 {
			instance = fmt.Sprintf("%s%d", instancePrefix, i)
		}
		g.add("static", fmt.Sprintf("%s-s%d", h.name, i), instance, h)
	}
	return g
}

// instancePrefix begins the instance ids of static members.
const instancePrefix = "instance-"

func (g *groups) add(group, name, instance string, h custom) *member {
	c := &member{custom: h, w: g.w, group: group, name: name, instance: instance, parts: g.parts}
	g.members = append(g.members, c)
	return c
}

// at is what serves groups on a node.
func (g *groups) at(n *node) *counter { return g.nodes[n] }

func (g *groups) run() {
	for _, c := range g.members {
		g.w.after(g.w.between(0, 3*time.Second), c.name+" starts", c.start)
	}
	g.trouble()
	g.look()
	g.describeLag()
}

// describeLag is an operator's tool that asks every so often, through any agent, how far a group has come.
func (g *groups) describeLag() {
	g.w.after(g.w.between(200*time.Millisecond, time.Second), "tool asks for offsets", func() {
		if g.w.quiet {
			return
		}
		tool := &member{name: "a tool", group: g.members[g.w.rng.IntN(len(g.members))].group}
		var all []int32
		for p := range g.parts {
			all = append(all, int32(p))
		}
		since := g.checks.mark(tool.group)
		ask := func(k *counter, answer func(said)) *parked {
			k.fetch(tool.group, placesOf(all), answer)
			return nil
		}
		if a := g.w.agents[g.w.rng.IntN(len(g.w.agents))]; a.up {
			a.carry("tool", false, ask, func(s said) {
				for i, o := range s.offset {
					g.checks.fetched(tool, all[i], since[all[i]], o)
				}
			})
		}
		g.describeLag()
	})
}

// trouble befalls one member after another while the world is not quiet.
func (g *groups) trouble() {
	g.w.after(g.w.between(200*time.Millisecond, 5*time.Second), "trouble of a member", func() {
		if g.w.quiet {
			return
		}
		c := g.members[g.w.rng.IntN(len(g.members))]
		switch {
		case c.phase == away:
		case g.w.chance(0.3):
			c.die("crashes")
		case g.w.chance(0.3):
			c.quit()
		case g.w.chance(0.6):
			c.freeze(g.w.between(time.Second, 20*time.Second))
		default:
			c.connect()
		}
		g.trouble()
	})
}

// whole is how long every group must be whole before a failover, and after it.
const whole = 20 * time.Second

// look waits, in the quiet, for every group to be whole; then another node is elected, which by itself
// must change nothing: no generation ends, and every member goes on.
func (g *groups) look() {
	g.w.after(time.Second, "look at the groups", func() {
		if g.w.quiet {
			g.retire()
		}
		switch {
		case !g.w.quiet:
		case g.failedOver && g.changed() != "":
			g.w.violated("groups: a failover by itself has group %s rebalance", g.changed())
		case !g.whole():
			g.calmSince = 0
		case g.calmSince == 0:
			g.calmSince = g.w.now
		case g.w.now-g.calmSince < whole:
		case !g.failedOver:
			g.failover()
		default:
			g.over = true
			return
		}
		g.look()
	})
}

// retire ends processes that claim the instance of another.
func (g *groups) retire() {
	g.members = slices.DeleteFunc(g.members, func(c *member) bool {
		if c.double && c.phase != away {
			c.die("is taken away")
		}
		return c.double
	})
}

// whole reports whether every group is stable, all members are in its generation and own all partitions once.
func (g *groups) whole() bool {
	type group struct {
		generation int32
		owned      map[int32]int
	}
	all := map[string]*group{}
	for _, c := range g.members {
		in := all[c.group]
		if in == nil {
			in = &group{c.generation, map[int32]int{}}
			all[c.group] = in
		}
		if c.phase != consuming || c.generation != in.generation || c.generation != g.checks.of(c.group).generation {
			return false
		}
		for _, p := range c.owned {
			in.owned[p]++
		}
	}
	for _, in := range all {
		for p := range g.parts {
			if in.owned[int32(p)] != 1 {
				return false
			}
		}
	}
	return true
}

// failover has another node elected; the old one knows.
func (g *groups) failover() {
	p := g.w.control
	old := p.leader
	if old == nil || !old.serves() {
		return
	}
	for _, n := range p.nodes {
		if n == old || !n.up {
			continue
		}
		g.failedOver, g.calmSince = true, 0
		g.generation = map[string]int32{}
		for _, c := range g.members {
			g.generation[c.group] = c.generation
		}
		g.w.tell("%s is elected in the quiet", n.name)
		g.w.reading.calmAt = g.w.now // for readers the peace begins anew
		old.resign()
		p.elect(n)
		return
	}
}

// changed is a group whose generation is not that of the failover any more.
func (g *groups) changed() string {
	for _, c := range g.members {
		if c.phase == consuming && c.generation != g.generation[c.group] || c.phase == away {
			return c.group
		}
	}
	return ""
}

func (g *groups) done() bool { return g.over }

func (g *groups) describe() string {
	text := "consumer groups are not whole:"
	for _, c := range g.members {
		text += fmt.Sprintf(" %s is in phase %d of generation %d since %.0fs and owns %v;", c, c.phase, c.generation, c.since.Seconds(), c.owned)
	}
	return text
}
