package coordinator

import "container/heap"

// timerKind says what happens when a timer fires.
type timerKind uint8

const (
	timerSession timerKind = iota // a member was not heard of
	timerPending                  // an id was handed out and not used
	timerJoin                     // members had time enough to join
	timerSync                     // members had time enough to sync
)

// timer fires once at its time. Moving it later costs nothing: the queue holds
// an earlier time, finds that it is not due, and queues it again. A heartbeat
// therefore does not touch the queue.
type timer struct {
	kind   timerKind
	group  *group
	member *member // timerSession
	id     string  // timerPending

	armed  bool
	at     int64 // when armed: fires at or after
	queued int64 // the time of the queue's valid entry; meaningful when inQueue
	queues bool  // whether the queue holds a valid entry
}

type queueEntry struct {
	at  int64
	seq uint64 // makes the order of equal times that of arming
	t   *timer
}

type timerQueue struct {
	entries []queueEntry
	seq     uint64
}

func (q *timerQueue) Len() int { return len(q.entries) }
func (q *timerQueue) Less(i, j int) bool {
	a, b := q.entries[i], q.entries[j]
	if a.at != b.at {
		return a.at < b.at
	}
	return a.seq < b.seq
}
func (q *timerQueue) Swap(i, j int) { q.entries[i], q.entries[j] = q.entries[j], q.entries[i] }
func (q *timerQueue) Push(x any)    { q.entries = append(q.entries, x.(queueEntry)) }
func (q *timerQueue) Pop() any {
	last := len(q.entries) - 1
	e := q.entries[last]
	q.entries[last] = queueEntry{}
	q.entries = q.entries[:last]
	return e
}

// arm lets t fire at or after the given time, instead of any time set before.
func (q *timerQueue) arm(t *timer, at int64) {
	t.armed, t.at = true, at
	if t.queues && t.queued <= at {
		return
	}
	q.push(t)
}

func (q *timerQueue) push(t *timer) {
	q.seq++
	t.queues, t.queued = true, t.at
	heap.Push(q, queueEntry{at: t.at, seq: q.seq, t: t})
}

// disarm keeps t from firing. Its entry is dropped when its time comes.
func (t *timer) disarm() { t.armed = false }

// due takes the next timer that fires by now; nil: none.
func (q *timerQueue) due(now int64) *timer {
	for len(q.entries) > 0 && q.entries[0].at <= now {
		e := heap.Pop(q).(queueEntry)
		t := e.t
		if !t.queues || t.queued != e.at {
			continue // replaced by an earlier entry
		}
		t.queues = false
		switch {
		case !t.armed:
		case t.at > now:
			q.push(t)
		default:
			t.armed = false
			return t
		}
	}
	return nil
}

// next is when due may have something to say.
func (q *timerQueue) next() (int64, bool) {
	if len(q.entries) == 0 {
		return 0, false
	}
	return q.entries[0].at, true
}
