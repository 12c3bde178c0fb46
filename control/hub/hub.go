package hub

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// ErrClosed ends a watch whose stream has ended; ErrReplaced ends all: the state was replaced by a
// snapshot, and what happened between is not known.
var (
	ErrClosed   = errors.New("the watch is closed")
	ErrReplaced = errors.New("the state was replaced by a snapshot")
)

// Hub hands events to the watches of their partitions.
//
// Publish runs while the state is locked for writing, Join while it is locked for reading, so that a
// watch joins between two commands.
type Hub struct {
	overrun func()

	mu      sync.Mutex
	watches map[topic.Partition]map[*Watch]struct{}
	all     map[*Watch]struct{}
}

// Watch is one stream's queue.
type Watch struct {
	hub   *Hub
	limit int           // events and locations in queue
	wake  chan struct{} // holds a token when there is something to take

	// All below is guarded by hub.mu.
	partitions map[topic.Partition]struct{}
	queue      []segment.Event
	size       int
	lost       map[topic.Partition]segment.Event // resets that are told before the queue
	ended      error                             // why the watch is over
}

// New returns a hub without watches. overrun is called each time that a watch cannot keep up.
func New(overrun func()) *Hub {
	return &Hub{overrun: overrun, watches: map[topic.Partition]map[*Watch]struct{}{}, all: map[*Watch]struct{}{}}
}

// Open returns a watch of nothing yet, whose queue holds limit events and locations.
func (h *Hub) Open(limit int) *Watch {
	w := &Watch{
		hub: h, limit: limit, wake: make(chan struct{}, 1),
		partitions: map[topic.Partition]struct{}{}, lost: map[topic.Partition]segment.Event{},
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all[w] = struct{}{}
	return w
}

// Publish hands events on, in order. The state is locked for writing.
func (h *Hub) Publish(events []segment.Event) {
	if len(events) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		for w := range h.watches[e.Partition] {
			w.push(e)
			if e.Removed {
				delete(w.partitions, e.Partition)
			}
		}
		if e.Removed {
			delete(h.watches, e.Partition)
		}
	}
}

// Join begins to watch a partition, with its ends as they are, or says that it is removed when there is
// none or who may not read it. The state is locked for reading.
func (w *Watch) Join(st *control.State, who control.Caller, p topic.Partition) {
	w.add(ends(st, who, p))
}

func ends(st *control.State, who control.Caller, p topic.Partition) segment.Event {
	if d := st.AllowPartition(who, control.CallWatch, p); !d.Allowed {
		return segment.Event{Partition: p, Removed: true}
	}
	start, end, ok := st.Ends(p)
	if !ok {
		return segment.Event{Partition: p, Removed: true}
	}
	return segment.Event{Partition: p, LogStart: start, HighWatermark: end}
}

// Partitions are those that are watched, in order.
func (w *Watch) Partitions() []topic.Partition {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	return slices.SortedFunc(maps.Keys(w.partitions), topic.Partition.Compare)
}

// Review ends the news of those of some partitions that who may not read any more: they are told of as removed, and what was
// queued of them is not told. The state is locked for reading.
func (w *Watch) Review(st *control.State, who control.Caller, partitions []topic.Partition) {
	for _, p := range partitions {
		if st.AllowPartition(who, control.CallWatch, p).Allowed || !w.Watches(p) {
			continue
		}
		w.Remove(p)
		w.add(segment.Event{Partition: p, Removed: true})
	}
}

// Wake holds a token when there is something to take.
func (w *Watch) Wake() <-chan struct{} { return w.wake }

func (w *Watch) add(ends segment.Event) {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.ended != nil {
		return
	}
	w.push(ends)
	if ends.Removed {
		return
	}
	w.partitions[ends.Partition] = struct{}{}
	if h.watches[ends.Partition] == nil {
		h.watches[ends.Partition] = map[*Watch]struct{}{}
	}
	h.watches[ends.Partition][w] = struct{}{}
}

// Watched counts the partitions that are watched by anybody.
func (h *Hub) Watched() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.watches)
}

// Watches reports whether a partition's news are handed to the watch.
func (w *Watch) Watches(p topic.Partition) bool {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	_, ok := w.partitions[p]
	return ok
}

// Watching counts the partitions.
func (w *Watch) Watching() int {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	return len(w.partitions)
}

// Remove ends the news of a partition.
func (w *Watch) Remove(p topic.Partition) {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	w.leave(p)
	delete(w.lost, p)
	w.queue = slices.DeleteFunc(w.queue, func(e segment.Event) bool {
		if e.Partition != p {
			return false
		}
		w.size -= weight(e)
		return true
	})
}

func (w *Watch) leave(p topic.Partition) {
	delete(w.partitions, p)
	delete(w.hub.watches[p], w)
	if len(w.hub.watches[p]) == 0 {
		delete(w.hub.watches, p)
	}
}

// push queues an event. A queue that would run over is turned into one reset a partition, which says
// where the partition ends now; what it had held is not lost to the reader, who plans it. So a watch
// holds at most limit locations and one event a partition.
func (w *Watch) push(e segment.Event) {
	if w.ended != nil {
		return
	}
	if w.size+weight(e) > w.limit {
		w.hub.overrun()
		for _, q := range w.queue {
			w.reset(q)
		}
		w.queue, w.size = nil, 0
		w.reset(e)
	} else {
		w.queue = append(w.queue, e)
		w.size += weight(e)
	}
	w.signal()
}

// reset folds an event into what is told of its partition first.
func (w *Watch) reset(e segment.Event) {
	r := w.lost[e.Partition]
	w.lost[e.Partition] = segment.Event{
		Partition: e.Partition, Reset: !e.Removed, Removed: e.Removed,
		LogStart: max(r.LogStart, e.LogStart), HighWatermark: max(r.HighWatermark, e.HighWatermark),
	}
}

// Take returns what is queued, in order, at most some locations of it, or why the watch is over.
func (w *Watch) Take(most int) ([]segment.Event, error) {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	if len(w.lost) == 0 && len(w.queue) == 0 {
		return nil, w.ended
	}
	var out []segment.Event
	for _, r := range w.lost {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b segment.Event) int { return a.Partition.Compare(b.Partition) })
	clear(w.lost)
	n, size := 0, 0
	for n < len(w.queue) && (n == 0 || size+weight(w.queue[n]) <= most) {
		size += weight(w.queue[n])
		n++
	}
	out = append(out, w.queue[:n]...)
	w.queue = w.queue[n:]
	w.size -= size
	if len(w.queue) > 0 {
		w.signal()
	} else {
		w.queue = nil
	}
	return out, nil
}

// Close leaves the hub.
func (w *Watch) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	for p := range w.partitions {
		w.leave(p)
	}
	delete(w.hub.all, w)
	w.ended = ErrClosed // its stream may still be adding
}

func (w *Watch) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func weight(e segment.Event) int { return 1 + len(e.Locations) }

// Lose ends every watch with ErrReplaced.
// The state is locked for writing.
func (h *Hub) Lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.all {
		w.ended = ErrReplaced
		w.signal()
	}
}
