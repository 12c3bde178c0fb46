package sim

import (
	"context"
	"errors"
	"slices"
	"time"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/hub"
	"github.com/isthmusdata/isthmus/fetch"
	"github.com/isthmusdata/isthmus/internal/sched"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

const never = sched.Never

// incarnation is the cluster's life: every partition's leader epoch.
const incarnation = 1

// watches is what a control node does for those who watch: a real hub, told of every command in order.
type watches struct {
	r     *reading
	node  *node
	hub   *hub.Hub
	feeds []*feed
}

func newWatches(r *reading, n *node) *watches {
	return &watches{r: r, node: n, hub: hub.New(func() { r.w.saw("watch overrun") })}
}

// watchesOf finds them.
func watchesOf(n *node) *watches {
	for _, s := range n.services {
		if w, ok := s.(*watches); ok {
			return w
		}
	}
	return nil
}

func (w *watches) applied(r state.Result) {
	w.hub.Publish(r.Events)
	w.pump()
}

func (w *watches) restored() {
	w.hub.Lose()
	w.pump()
}

func (w *watches) pump() {
	for _, fd := range slices.Clone(w.feeds) {
		fd.pump()
	}
}

func (w *watches) elected() {}

// resigned: a watch ends with the term.
func (w *watches) resigned() {
	for _, fd := range slices.Clone(w.feeds) {
		fd.snap()
	}
}

// feed is one watch stream: the hub's real watch at the leader's end, and messages that arrive in
// order until it breaks.
type feed struct {
	f       *fetcher
	ctx     context.Context
	at      *watches
	watch   *hub.Watch // nil until it is open
	freeAt  [2]time.Duration
	sending bool
	broken  bool // nothing that is not under way arrives any more
	cut     bool // nor that
	news    [][]segment.Event
	err     error // what the agent finds when it has read the news
	came    chan struct{}
}

var errBroken = errors.New("the stream is broken")

// Watch implements fetch.Index.
func (f *fetcher) Watch(ctx context.Context) (fetch.Watch, error) {
	fd := &feed{f: f, ctx: ctx, came: make(chan struct{}, 1)}
	opening, cancel := f.crew.Timeout(ctx, 5*time.Second)
	defer cancel()
	err := f.ask(opening, func(n *node) {
		if fd.broken {
			return // nobody waits for it any more
		}
		fd.at = watchesOf(n)
		fd.watch = fd.at.hub.Open(f.r.queue)
		fd.at.feeds = append(fd.at.feeds, fd)
	})
	switch {
	case err != nil:
		fd.snap()
		return nil, err
	case fd.broken:
		return nil, errBroken
	}
	f.feed = fd
	f.w.saw("watched")
	return fd, nil
}

func (fd *feed) arrival(direction int) time.Duration {
	w := fd.f.w
	fd.freeAt[direction] = max(fd.freeAt[direction], w.now) + fd.f.network()
	return fd.freeAt[direction] - w.now
}

// Add implements fetch.Watch: it is on its way when Add returns.
func (fd *feed) Add(partitions []topic.Partition) error {
	return fd.tell(func() {
		fd.at.node.confirm(func() {
			if fd.broken {
				return
			}
			for _, p := range partitions {
				fd.watch.Join(fd.at.node.state, fd.f.w.reader(), p)
			}
			fd.pump()
		})
	})
}

// Remove implements fetch.Watch.
func (fd *feed) Remove(partitions []topic.Partition) error {
	return fd.tell(func() {
		for _, p := range partitions {
			fd.watch.Remove(p)
		}
	})
}

// tell sends something to the leader.
func (fd *feed) tell(do func()) error {
	if fd.err != nil {
		return fd.err
	}
	fd.f.w.after(fd.arrival(0), "watch is told", func() {
		if !fd.broken {
			do()
		}
	})
	return nil
}

// newsAtOnce bounds the locations of a message, far below what a server sends.
const newsAtOnce = 8

// pump sends what the watch holds, message by message.
func (fd *feed) pump() {
	if fd.sending || fd.broken || fd.watch == nil || !given(fd.watch.Wake()) {
		return
	}
	<-fd.watch.Wake()
	events, err := fd.watch.Take(newsAtOnce)
	if err != nil {
		fd.snap()
		return
	}
	if len(events) == 0 {
		return
	}
	w := fd.f.w
	takes := time.Millisecond
	if w.now < fd.f.slowUntil {
		takes = w.between(100*time.Millisecond, 3*time.Second)
	}
	fd.sending = true
	w.after(takes, "news sent", func() {
		fd.sending = false
		fd.f.later(fd.arrival(1), "news arrives", func() { fd.deliver(events) })
		fd.pump()
	})
}

// deliver hands a message to the agent. Of what was under way when the stream broke, a part may come.
func (fd *feed) deliver(events []segment.Event) {
	fd.cut = fd.cut || fd.broken && fd.f.w.rng.IntN(2) == 0
	if fd.cut || fd.err != nil {
		return
	}
	fd.news = append(fd.news, events)
	fd.signal()
}

func (fd *feed) signal() {
	select {
	case fd.came <- struct{}{}:
	default:
	}
}

// Recv implements fetch.Watch.
func (fd *feed) Recv() ([]segment.Event, error) {
	for {
		if len(fd.news) > 0 {
			events := fd.news[0]
			fd.news = fd.news[1:]
			fd.f.witness.heard(events)
			return events, nil
		}
		if fd.err != nil {
			return nil, fd.err
		}
		if fd.f.crew.Wait(fd.ctx, never, fd.came) != 0 {
			fd.snap()
			return nil, errBroken
		}
	}
}

// snap breaks the stream; the agent finds out within a second.
func (fd *feed) snap() {
	if fd.broken {
		return
	}
	fd.broken = true
	if fd.watch != nil {
		fd.watch.Close()
		fd.at.feeds = slices.DeleteFunc(fd.at.feeds, func(o *feed) bool { return o == fd })
	}
	fd.f.later(fd.f.w.between(0, time.Second), "watch found broken", func() {
		fd.err = errBroken
		fd.signal()
	})
}

// snap breaks the agent's stream.
func (f *fetcher) snap() {
	if f.feed != nil {
		f.feed.snap()
		f.feed = nil
	}
}
