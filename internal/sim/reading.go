package sim

import (
	"fmt"
	"time"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/fetch"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// reading is the half of the world that reads: the fetching agents of one group and zone, and the
// consumers that turn from one of them to another.
type reading struct {
	w         *World
	alive     map[topic.ID]string // the topics that there are, and their names
	deleted   map[topic.ID]bool
	starts    map[topic.Partition]topic.Offset
	fetchers  []*fetcher
	consumers []*consumer
	guests    []*guest
	config    fetch.Config
	queue     int           // what a watch may hold at the leader
	planned   int64         // bytes of a plan at most
	patience  time.Duration // from the death of an object to its deletion
	calmAt    time.Duration
}

func newReading(w *World, partitions int) *reading {
	r := &reading{w: w, alive: map[topic.ID]string{}, deleted: map[topic.ID]bool{}, starts: map[topic.Partition]topic.Offset{}}
	r.tighten()
	for _, n := range w.control.nodes {
		n.services = append(n.services, newWatches(r, n))
	}
	for i := range 2 {
		r.fetchers = append(r.fetchers, newFetcher(r, i))
	}
	r.welcome()
	for i, habit := range habits {
		r.consumers = append(r.consumers, newConsumer(r, i, habit, partitions))
	}
	return r
}

// tighten makes limits that a few minutes seldom meet narrow in some runs.
func (r *reading) tighten() {
	w := r.w
	some := func() bool { return w.rng.IntN(2) == 0 }
	c := fetch.Default()
	c.MaxWait = 24 * time.Hour
	c.LocationLife = w.between(4*time.Second, 10*time.Second)
	c.ReadTimeout, c.WatchIdle = 4*time.Second, 40*time.Second
	r.queue, r.planned = 1000, 1<<20
	if some() {
		c.MaxChunk, c.ChunkAlign, c.CoalesceGap = 1024, 256, 64
	}
	if some() {
		c.CacheBytes, c.FlightBytes = 4<<10, max(c.MaxChunk, 8<<10)
		c.ColdCacheBytes, c.ColdFlightBytes = 4<<10, max(c.MaxChunk, 8<<10)
		c.PrefetchBytes = 1 << 10
	}
	if some() {
		r.queue = 4 + w.rng.IntN(20)
	}
	if some() {
		r.planned = 200 + w.rng.Int64N(2000)
	}
	if some() {
		c.MaxLocations = 40
	}
	if some() {
		// As in production, nothing is deleted while anybody may still be reading it.
		r.patience = 1
	}
	r.config = c
	if r.patience > 0 {
		r.patience = r.reach() + c.PlanTimeout + slowest + 5*time.Second
	}
}

// begin starts the agents and then the consumers.
func (r *reading) begin() {
	for _, f := range r.fetchers {
		f.start()
	}
	for _, c := range r.consumers {
		c.run()
	}
	r.nextFault()
	r.trim()
	for _, g := range r.guests {
		g.live()
	}
}

// end kills what still runs, at the end of the run.
func (r *reading) end() {
	for _, f := range r.fetchers {
		if f.up {
			f.crew.kill()
		}
	}
}

// learned notes what is true, of every command as it is first applied: which topics there are, and where
// partitions begin.
func (r *reading) learned(c *controlpb.Command, result state.Result) {
	switch create, remove := c.GetCreateTopic(), c.GetDeleteTopic(); {
	case result.Code != 0:
	case create != nil:
		r.alive[topic.ID(create.GetId())] = create.GetName()
	case remove != nil:
		delete(r.alive, topic.ID(remove.GetId()))
		r.deleted[topic.ID(remove.GetId())] = true
		r.w.saw("topic deleted")
	}
	for _, e := range result.Events {
		if !e.Removed {
			r.starts[e.Partition] = max(r.starts[e.Partition], e.LogStart)
		}
	}
}

// done reports whether every consumer has read every partition to its end.
func (r *reading) done() bool { return r.unread() == "" }

// unread says who has not read what.
func (r *reading) unread() string {
	for _, c := range r.consumers {
		if s := c.unread(); s != "" {
			return s
		}
	}
	return ""
}

// calm ends all faults.
func (r *reading) calm() {
	r.calmAt = r.w.now
	r.flutter(r.w.now + r.w.between(0, time.Minute))
	for _, f := range r.fetchers {
		f.cutUntil, f.slowUntil = 0, 0
	}
}

// settled: long after the last fault, whoever waits at an agent is told of news by its watch, not by luck.
func (r *reading) settled() {
	for _, c := range r.consumers {
		if c.at == nil || !c.busy {
			continue
		}
		for _, p := range c.positions {
			if !r.deleted[p.partition.Topic] && (c.at.feed == nil || !c.at.feed.watch.Watches(p.partition)) {
				r.w.violated("I9: %s waits at %s for news of %s, which is not watched", c.name, c.at.name, p.partition)
			}
		}
	}
}

// flutter breaks watches in peace, too, for a while: that is what they are made for.
func (r *reading) flutter(until time.Duration) {
	r.w.after(r.w.between(time.Second, 15*time.Second), "flutter", func() {
		if r.w.now < until {
			r.fetchers[r.w.rng.IntN(len(r.fetchers))].snap()
			r.flutter(until)
		}
	})
}

// nextFault schedules one fault after another while the world is not quiet.
func (r *reading) nextFault() {
	r.w.after(r.w.between(300*time.Millisecond, 6*time.Second), "reading fault", func() {
		if r.w.quiet {
			return
		}
		r.fault()
		r.nextFault()
	})
}

func (r *reading) fault() {
	f := r.fetchers[r.w.rng.IntN(len(r.fetchers))]
	c := r.consumers[r.w.rng.IntN(len(r.consumers))]
	switch r.w.rng.IntN(8) {
	case 0:
		f.crash()
	case 1:
		d := r.w.between(2*time.Second, 30*time.Second)
		r.w.tell("fault: %s is cut from the control plane for %.0f s", f.name, d.Seconds())
		f.cutUntil = r.w.now + d
		f.snap()
	case 2, 3:
		r.w.tell("fault: the watch of %s breaks", f.name)
		f.snap()
	case 4:
		r.w.tell("fault: the watch of %s is slow", f.name)
		f.slowUntil = r.w.now + r.w.between(time.Second, slowest)
	case 5:
		r.w.tell("fault: %s turns to another agent", c.name)
		c.hangUp()
	default:
		c.seek()
	}
}

// slowest is how long a watch may be slow.
const slowest = 10 * time.Second

// nameOf is the name of a topic.
func (r *reading) nameOf(id topic.ID) string {
	for _, l := range lands {
		if l.id == id {
			return l.name
		}
	}
	for _, g := range r.guests {
		if g.id == id {
			return g.name
		}
	}
	return fmt.Sprint(id)
}
