package sim

import (
	"errors"
	"time"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/coordinator"
	"github.com/isthmusdata/isthmus/control/desk"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// counter is the edge around a real desk.Desk on a control node: what control/tunnel is in a process, without
// goroutines. A node has a desk while it serves a term.
type counter struct {
	n     *node
	desk  *desk.Desk // nil: it serves no groups
	busy  bool       // a batch is on its way to the log
	alarm int        // of the deadline that is waited for
}

// errNotLeading is what the desk tells whoever waits when its term is over.
var errNotLeading = errors.New("not the leader")

// newCounter is the service of a node.
func newCounter(n *node) *counter { return &counter{n: n} }

func (c *counter) applied(state.Result) {}
func (c *counter) restored()            {}

func (c *counter) elected() {
	c.desk = desk.New(coordinator.Default(), func(group string, code int16, _ error) {
		c.n.w.violated("groups: %s cannot store group %s: code %d", c.n.name, group, code)
	})
	c.busy = false
	c.desk.Restore(c.now(), c.n.state)
	c.arm()
}

func (c *counter) resigned() {
	if d := c.desk; d != nil {
		c.desk = nil
		d.End(errNotLeading)
	}
}

func (c *counter) now() int64 { return c.n.w.now.Milliseconds() }

// at lets f use the desk, and carries on with what came of it.
func (c *counter) at(f func(d *desk.Desk, now int64)) {
	f(c.desk, c.now())
	c.propose()
	c.arm()
}

// propose takes one batch after the other to the log.
func (c *counter) propose() {
	if c.busy || !c.desk.Queued() {
		return
	}
	c.busy = true
	d := c.desk
	batch := d.Take(64 << 10)
	commands := batch.Commands()
	var results []state.Result
	for _, command := range commands {
		c.n.propose(command, func(r state.Result) {
			if results = append(results, r); len(results) == len(commands) && c.desk == d {
				c.busy = false
				c.at(func(d *desk.Desk, now int64) { d.Settle(now, batch, results, nil) })
			}
		})
	}
}

// arm lets the groups' next deadline happen.
func (c *counter) arm() {
	at, ok := c.desk.Next()
	if !ok {
		return
	}
	c.alarm++
	d, mine := c.desk, c.alarm
	c.n.w.after(time.Duration(at)*time.Millisecond-c.n.w.now, "group deadline", func() {
		if c.desk == d && c.alarm == mine {
			c.at(func(d *desk.Desk, now int64) { d.With(now, func(m *coordinator.Machine) { m.Tick(now) }) })
		}
	})
}

// said is an answer to a request of a group's member.
type said struct {
	again  bool // this node does not serve groups: ask again
	twice  bool // it was asked before, and what came of that is not known
	code   int16
	join   *coordinator.JoinReply
	sync   *coordinator.SyncReply
	codes  []int16                 // of the offsets committed
	offset []state.CommittedOffset // fetched; -1 where there is none
}

// parked is a request that waits at a node.
type parked struct {
	at *counter
	d  *desk.Desk
	id coordinator.RequestID
}

// forget is what the node does when it notices that the caller has gone.
func (p *parked) forget() {
	if p != nil && p.at.desk == p.d {
		p.at.at(func(d *desk.Desk, now int64) { d.Forget(now, p.id) })
	}
}

// park gives the machine a request that may wait long.
func (c *counter) park(answer func(said), ask func(m *coordinator.Machine, now int64, id coordinator.RequestID)) *parked {
	p := &parked{at: c, d: c.desk}
	c.at(func(d *desk.Desk, now int64) {
		p.id = d.Park(now, func(r coordinator.Reply, ok bool) {
			answer(said{again: !ok, join: r.Join, sync: r.Sync})
		}, func(m *coordinator.Machine, id coordinator.RequestID) { ask(m, now, id) })
	})
	return p
}

// heartbeat answers at once, from memory.
func (c *counter) heartbeat(who coordinator.Identity, answer func(said)) {
	c.at(func(d *desk.Desk, now int64) {
		d.With(now, func(m *coordinator.Machine) { answer(said{code: m.Heartbeat(now, who)}) })
	})
}

func (c *counter) leave(group, member string, answer func(said)) {
	c.at(func(d *desk.Desk, now int64) {
		d.With(now, func(m *coordinator.Machine) {
			_, codes := m.Leave(now, group, []coordinator.Leaver{{Member: member}})
			answer(said{code: codes[0]})
		})
	})
}

// commit looks whether the partitions exist, which takes a leadership check, and then asks the desk.
func (c *counter) commit(who coordinator.Identity, offsets []*controlpb.GroupOffset, answer func(said)) {
	d := c.desk
	c.n.confirm(func() {
		if c.desk != d {
			return
		}
		c.at(func(d *desk.Desk, now int64) {
			refused := d.Commit(now, who, codeIllegalGeneration, offsets, func(rs []state.Result, err error) {
				if err != nil {
					answer(said{again: true})
					return
				}
				answer(said{codes: rs[0].Codes})
			})
			if refused != 0 {
				answer(said{code: refused})
			}
		})
	})
}

// fetch reads committed offsets after a leadership check.
func (c *counter) fetch(group string, partitions []topic.Partition, answer func(said)) {
	read := func() {
		s := said{}
		for _, p := range partitions {
			o, ok := c.n.state.Offset(group, p)
			if !ok {
				o = state.CommittedOffset{Offset: topic.NoOffset}
			}
			s.offset = append(s.offset, o)
		}
		answer(s)
	}
	c.n.confirm(read)
}
