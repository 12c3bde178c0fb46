package wire

import "sync"

// slot is the place of one request's answer in its connection's order.
type slot struct {
	conn     *Conn
	req      *Request
	answered bool // guarded by the queue's lock; reply is set when true
	reply    Reply
}

// queue holds the slots of a connection's unanswered requests, in the order in which they were
// read. The reader pushes, handlers answer, the writer takes from the front.
type queue struct {
	wake  chan struct{} // the front may be ready, or no more will come; one wake-up is enough
	space chan struct{} // one element per slot: bounds the queue and stops the reader

	mu     sync.Mutex
	slots  []*slot
	noMore bool // the reader has ended: the writer closes once the queue is empty
	closed bool // the connection is gone: answers are given up
}

func (q *queue) init(bound int) {
	q.wake = make(chan struct{}, 1)
	q.space = make(chan struct{}, bound)
}

func (q *queue) push(s *slot) {
	q.mu.Lock()
	q.slots = append(q.slots, s)
	q.mu.Unlock()
}

// answer stores the reply of s. gone says that the connection is, and nobody will write the reply;
// once is false when s had been answered before, and nothing was stored.
func (q *queue) answer(s *slot, r Reply) (gone, once bool) {
	q.mu.Lock()
	if s.answered {
		q.mu.Unlock()
		return false, false
	}
	s.answered, s.reply = true, r
	gone = q.closed
	front := len(q.slots) > 0 && q.slots[0] == s
	q.mu.Unlock()
	if front {
		q.signal()
	}
	return gone, true
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take removes the slots at the front that are answered, and appends them to dst. end says that
// nothing is left and nothing more will come.
func (q *queue) take(dst []*slot) (ready []*slot, end bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.slots) && q.slots[n].answered {
		n++
	}
	dst = append(dst, q.slots[:n]...)
	clear(q.slots[:n])
	q.slots = q.slots[n:]
	return dst, q.noMore && len(q.slots) == 0
}

// finish says that no more requests will be pushed.
func (q *queue) finish() {
	q.mu.Lock()
	q.noMore = true
	q.mu.Unlock()
	q.signal()
}

// close gives up all that is queued, and returns the slots that had been answered; the others come
// back through answer.
func (q *queue) close() (answered []*slot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	q.closed, q.noMore = true, true
	for _, s := range q.slots {
		if s.answered {
			answered = append(answered, s)
		}
	}
	q.slots = nil
	return answered
}

func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.slots) == 0
}

// answer is the reply function of the slot's request.
func (s *slot) answer(r Reply) {
	gone, once := s.conn.queue.answer(s, r)
	if !once {
		s.conn.server.log.Error("request answered twice", "request", s.req.name(), "remote", s.conn.remote)
		return
	}
	if gone {
		s.release()
	}
}

// release ends the request: its answer is written or given up.
func (s *slot) release() {
	if s.reply.Done != nil {
		s.reply.Done()
	}
	if s.req.charge != nil {
		s.req.charge.release()
	}
	<-s.conn.queue.space
}
