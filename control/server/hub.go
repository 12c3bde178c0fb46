package server

import (
	"slices"
	"sync"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// hub hands events to the watches of their partitions.
//
// publish runs while the state is locked for writing, add while it is locked for reading. So a watch
// joins between two commands: the ends it is told first are those after the one, and the first placement
// it is sent is that of the other.
type hub struct {
	m *metrics

	mu      sync.Mutex
	watches map[topic.Partition]map[*watch]struct{}
	all     map[*watch]struct{}
}

// watch is one stream's queue.
type watch struct {
	hub   *hub
	limit int           // events and locations in queue
	wake  chan struct{} // holds a token when there is something to take

	// All below is guarded by hub.mu.
	partitions map[topic.Partition]struct{}
	queue      []segment.Event
	size       int
	lost       map[topic.Partition]segment.Event // resets that are told before the queue
	ended      error                             // why the watch is over
}

func newHub(m *metrics) *hub {
	return &hub{m: m, watches: map[topic.Partition]map[*watch]struct{}{}, all: map[*watch]struct{}{}}
}

// open returns a watch of nothing yet.
func (h *hub) open(limit int) *watch {
	w := &watch{
		hub: h, limit: limit, wake: make(chan struct{}, 1),
		partitions: map[topic.Partition]struct{}{}, lost: map[topic.Partition]segment.Event{},
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all[w] = struct{}{}
	h.m.watchStreams.Inc()
	return w
}

// publish hands events on, in order. The state is locked for writing.
func (h *hub) publish(events []segment.Event) {
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

// add begins with the partition's ends as they are. The state is locked for reading.
func (w *watch) add(ends segment.Event) {
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
		h.watches[ends.Partition] = map[*watch]struct{}{}
	}
	h.watches[ends.Partition][w] = struct{}{}
}

// watching counts the partitions.
func (w *watch) watching() int {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	return len(w.partitions)
}

// remove ends the news of a partition.
func (w *watch) remove(p topic.Partition) {
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

func (w *watch) leave(p topic.Partition) {
	delete(w.partitions, p)
	delete(w.hub.watches[p], w)
	if len(w.hub.watches[p]) == 0 {
		delete(w.hub.watches, p)
	}
}

// push queues an event. A queue that would run over is turned into one reset a partition, which says
// where the partition ends now; what it had held is not lost to the reader, who plans it. So a watch
// holds at most limit locations and one event a partition.
func (w *watch) push(e segment.Event) {
	if w.ended != nil {
		return
	}
	if w.size+weight(e) > w.limit {
		w.hub.m.watchResets.Inc()
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
func (w *watch) reset(e segment.Event) {
	r := w.lost[e.Partition]
	w.lost[e.Partition] = segment.Event{
		Partition: e.Partition, Reset: !e.Removed, Removed: e.Removed,
		LogStart: max(r.LogStart, e.LogStart), HighWatermark: max(r.HighWatermark, e.HighWatermark),
	}
}

// take returns what is queued, in order, at most some locations of it, or why the watch is over.
func (w *watch) take(most int) ([]segment.Event, error) {
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

// close leaves the hub.
func (w *watch) close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	for p := range w.partitions {
		w.leave(p)
	}
	delete(w.hub.all, w)
	w.ended = errStopping // its stream may still be adding
	w.hub.m.watchStreams.Dec()
}

func (w *watch) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func weight(e segment.Event) int { return 1 + len(e.Locations) }

// lose ends every watch: the state was replaced as a whole, and what happened between is not known.
// The state is locked for writing.
func (h *hub) lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.all {
		w.ended = errReplaced
		w.signal()
	}
}
