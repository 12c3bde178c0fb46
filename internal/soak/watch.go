package soak

import (
	"fmt"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
)

const (
	shortGap = 250 * time.Millisecond // a wait below it is how the system works, and is not kept
	noticed  = time.Second            // a wait of this length is a time without service
)

// gap is a time in which something was owed to a client and nothing came.
type gap struct {
	from, to time.Time
	reading  bool // by a reader; else an acknowledgement to a producer
	whole    bool // nothing came to any of them
}

func (g gap) length() time.Duration { return g.to.Sub(g.from) }

// watcher follows every record from the producers to the readers that run beside them, and keeps the
// times without service. It fills the ledger for the last read on the way. Its methods may be called
// concurrently.
type watcher struct {
	now func() time.Time

	mu      sync.Mutex
	sent    int64
	refused int64
	first   string // of the errors that producers were told
	ledger  *bench.Ledger
	streams map[uint32]*stream
	whole   stream
	gaps    []gap
}

// stream is one producer's records in one partition, or all records.
type stream struct{ produce, read owing }

// owing counts what was asked for and what came. since is when the oldest thing that is owed was asked
// for, or the last one came, whichever is later; it means nothing while nothing is owed.
type owing struct {
	asked, came int64
	since       time.Time
}

func newWatcher(now func() time.Time) *watcher {
	return &watcher{now: now, ledger: bench.NewLedger(), streams: map[uint32]*stream{}}
}

// Sent implements bench.Watcher.
func (w *watcher) Sent(s bench.Stamp) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent++
	at := w.now()
	w.stream(s.Stream).produce.ask(at)
	w.whole.produce.ask(at)
}

// Acked implements bench.Watcher.
func (w *watcher) Acked(s bench.Stamp) {
	w.ledger.Acked(s.Stream, s.Sequence)
	w.mu.Lock()
	defer w.mu.Unlock()
	at, one := w.now(), w.stream(s.Stream)
	w.came(&one.produce, gap{to: at})
	w.came(&w.whole.produce, gap{to: at, whole: true})
	one.read.ask(at)
	w.whole.read.ask(at)
}

// Refused implements bench.Watcher.
func (w *watcher) Refused(s bench.Stamp, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refused++; w.first == "" {
		w.first = fmt.Sprintf("stream %d, record %d: %v", s.Stream, s.Sequence, err)
	}
	at := w.now()
	w.came(&w.stream(s.Stream).produce, gap{to: at})
	w.came(&w.whole.produce, gap{to: at, whole: true})
}

// Consumed implements bench.Watcher.
func (w *watcher) Consumed(s bench.Stamp) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.now()
	w.came(&w.stream(s.Stream).read, gap{to: at, reading: true})
	w.came(&w.whole.read, gap{to: at, reading: true, whole: true})
}

func (w *watcher) stream(id uint32) *stream {
	s := w.streams[id]
	if s == nil {
		s = &stream{}
		w.streams[id] = s
	}
	return s
}

// ask notes that one thing more is owed. A record may be read before its producer hears of it: then the
// debt was paid in advance.
func (o *owing) ask(at time.Time) {
	o.asked++
	if o.asked == o.came+1 {
		o.since = at
	}
}

func (o *owing) owed(at time.Time) time.Duration {
	if o.asked <= o.came {
		return 0
	}
	return at.Sub(o.since)
}

// came notes that one thing came, and keeps the time that it was waited for.
func (w *watcher) came(o *owing, g gap) {
	if wait := o.owed(g.to); wait >= shortGap {
		g.from = o.since
		w.gaps = append(w.gaps, g)
	}
	o.came++
	o.since = g.to
}

// waiting is the longest wait of this moment, of producers and of readers.
func (w *watcher) waiting() (produce, read time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.now()
	for _, s := range w.streams {
		produce, read = max(produce, s.produce.owed(at)), max(read, s.read.owed(at))
	}
	return produce, read
}

// between are the gaps that end in a time, cut to begin in it. One that goes on behind it is another fault's,
// for a fault waits until there is none.
func (w *watcher) between(from, to time.Time) []gap {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []gap
	for _, g := range w.gaps {
		if !g.to.After(from) || g.to.After(to) {
			continue
		}
		if g.from.Before(from) {
			g.from = from
		}
		found = append(found, g)
	}
	return found
}
