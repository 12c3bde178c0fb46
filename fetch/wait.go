package fetch

import "github.com/isthmusdata/isthmus/internal/topic"

// waiter is one request that waits for news of its partitions: for need more bytes, or for
// anything else that may change its answer. It is woken at most once and then stands nowhere.
//
// Nothing is polled and no goroutine stands by a partition: a waiter hangs in a list at each
// of its partitions, and the news itself walks that list.
type waiter struct {
	need  int64
	wake  func() // called once, under the planner's lock: it must not block
	nodes []node
	woken bool
}

// node is a waiter's place in the list of one partition.
type node struct {
	w          *waiter
	next, prev *node
}

// waiting is the ring of nodes of one partition; the zero value is empty.
type waiting struct{ root node }

func (l *waiting) push(n *node) {
	if l.root.next == nil {
		l.root.next, l.root.prev = &l.root, &l.root
	}
	n.prev, n.next = l.root.prev, &l.root
	n.prev.next, n.next.prev = n, n
}

func (l *waiting) empty() bool { return l.root.next == nil || l.root.next == &l.root }

func (n *node) unlink() {
	if n.next != nil {
		n.prev.next, n.next.prev = n.next, n.prev
		n.next, n.prev = nil, nil
	}
}

// credit tells all waiters of bytes that have become readable, or, below 0, that the
// partition must be looked at again whatever they wait for.
func (l *waiting) credit(bytes int64) {
	if l.root.next == nil {
		return
	}
	for n := l.root.next; n != &l.root; {
		w := n.w
		n = n.next
		w.need -= bytes
		if bytes < 0 || w.need <= 0 {
			// finish unlinks all of w's nodes; the next one is another's, for a waiter stands
			// in a list at most once.
			w.finish()
		}
	}
}

// finish wakes the waiter and takes it off every list.
func (w *waiter) finish() {
	if w.woken {
		return
	}
	w.woken = true
	w.leave()
	w.wake()
}

// leave takes the waiter off every list.
func (w *waiter) leave() {
	for i := range w.nodes {
		w.nodes[i].unlink()
	}
	w.nodes = nil
}

// wait lists w at every partition; those it has no track of are left out.
func (p *planner) wait(w *waiter, partitions []topic.Partition) {
	w.nodes = make([]node, len(partitions))
	for i, part := range partitions {
		w.nodes[i].w = w
		t := p.tracks[part]
		if t == nil || t.waiting.root.prev != nil && t.waiting.root.prev.w == w {
			continue // unknown, or named twice
		}
		t.waiting.push(&w.nodes[i])
	}
}
