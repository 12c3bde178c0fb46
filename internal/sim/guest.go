package sim

import (
	"fmt"
	"time"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/produce"
)

// guest is a topic of one partition that comes and may go, while it is written to and read.
type guest struct {
	w         *World
	number    int
	name      string
	id        topic.ID
	from      time.Duration // when it is created
	until     time.Duration // when it is deleted; 0: never
	batches   int
	sent      int
	dismissed bool // it was deleted
	copy      *copyOf
}

// guestBase is the number of the first guest's partition.
const guestBase = 1000

func guestID(number int) topic.ID { return topic.ID{0xA: byte(100 + number)} }

// welcome draws the guests of a run: two that are deleted, one that takes the name of the first, and one
// that is asked for before it is there.
func (r *reading) welcome() {
	w := r.w
	gone := w.between(15*time.Second, 45*time.Second)
	for i, g := range []guest{
		{name: "guest", until: gone},
		{name: "guest", from: gone + w.between(100*time.Millisecond, 8*time.Second)},
		{name: "brief", until: w.between(15*time.Second, 55*time.Second)},
		{name: "late", from: w.between(5*time.Second, 100*time.Second)},
	} {
		g.w, g.number, g.id = w, i, guestID(i)
		g.batches = 10 + w.rng.IntN(20)
		r.guests = append(r.guests, &g)
	}
}

// live creates the topic at its time, and deletes it.
func (g *guest) live() {
	create := func() *controlpb.Command {
		return &controlpb.Command{Op: &controlpb.Command_CreateTopic{CreateTopic: &controlpb.CreateTopicCommand{
			Name: g.name, Id: g.id[:], Partitions: 1, Share: lands[g.number%len(lands)].share,
		}}}
	}
	remove := func() *controlpb.Command {
		return &controlpb.Command{Op: &controlpb.Command_DeleteTopic{DeleteTopic: &controlpb.DeleteTopicCommand{Id: g.id[:]}}}
	}
	g.insist(g.from, create, func(int16) bool {
		_, there := g.w.reading.alive[g.id]
		return there || g.dismissed // else another has its name still
	})
	if g.until > 0 {
		g.insist(g.until, remove, func(code int16) bool {
			g.dismissed = code == 0 || code == codeUnknownTopicID
			return g.dismissed
		})
	}
}

// insist proposes a command from a time on, until it is answered as it should be.
func (g *guest) insist(at time.Duration, command func() *controlpb.Command, answered func(code int16) bool) {
	done := false
	var propose func()
	propose = func() {
		if done {
			return
		}
		if n := g.w.control.reached(nil); n != nil {
			n.propose(command(), func(r state.Result) {
				if !done {
					done = answered(r.Code)
					g.w.tell("topic %s (%s): %T is answered with %d", g.name, g.id, command().Op, r.Code)
				}
			})
		}
		g.w.after(time.Second, "insist", propose)
	}
	g.w.after(at-g.w.now, "insist", propose)
}

// trim gives a topic a retention at some time, so that its beginning goes while it is read.
func (r *reading) trim() {
	at := r.w.between(5*time.Second, 50*time.Second)
	keep := 500 + r.w.rng.Int64N(20_000)
	applied := false
	l := lands[len(lands)-1]
	var propose func()
	propose = func() {
		if applied {
			return
		}
		c := &controlpb.AlterTopicConfigCommand{Id: l.id[:], Config: map[string]string{"retention.bytes": fmt.Sprint(keep)}}
		if n := r.w.control.reached(nil); n != nil {
			n.propose(&controlpb.Command{Op: &controlpb.Command_AlterTopicConfig{AlterTopicConfig: c}}, func(result state.Result) {
				applied = true
				r.w.saw("retention set")
				r.w.tell("topic %s keeps %d bytes: %d", l.name, keep, result.Code)
			})
		}
		r.w.after(time.Second, "trim", propose)
	}
	r.w.after(at, "trim", propose)
}

// run writes to the topic while it is there, a batch at a time, each once: what becomes of one is not
// asked again.
func (g *guest) run() {
	g.w.after(g.w.between(50*time.Millisecond, 2*time.Second), g.name, func() {
		if g.done() {
			return
		}
		a := g.w.agents[g.w.rng.IntN(len(g.w.agents))]
		if _, there := g.w.reading.alive[g.id]; there && g.copy == nil && a.up {
			g.sent++
			x := &copyOf{batch: batchID{guestBase + g.number, g.sent}, try: 1, partition: guestBase + int32(g.number), producer: -1, records: 1 + g.sent%3}
			g.copy = x
			conn := dial(a, func(got *copyOf, _ produce.Answer) { g.answered(got) }, func(*conn) { g.answered(x) })
			conn.send(x)
		}
		g.run()
	})
}

func (g *guest) answered(x *copyOf) {
	if g.copy == x {
		g.copy = nil
		x.conn.close()
	}
}

func (g *guest) done() bool { return g.dismissed || g.sent == g.batches && g.copy == nil }

func (g *guest) describe() string {
	return fmt.Sprintf("topic %s (%s): batch %d of %d", g.name, g.id, g.sent, g.batches)
}
