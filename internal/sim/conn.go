package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/record/recordtest"
	"github.com/isthmusdata/isthmus/produce"
)

// batchID names a batch of a client; a client sends it in one copy after another.
type batchID struct {
	client int
	number int
}

// copyOf is one try to send a batch: the unit that invariants speak of.
type copyOf struct {
	batch     batchID
	try       int
	partition int32
	producer  int64 // or -1
	epoch     int16
	sequence  int32
	records   int
	conn      *conn
	arrival   int  // at its agent: the how manyeth
	sent      bool // its commit is: only the control plane answers it
}

// String names a copy in traces, and in the copy's own bytes.
func (c *copyOf) String() string {
	return fmt.Sprintf("c%d/b%d/t%d", c.batch.client, c.batch.number, c.try)
}

// bytes is the record batch of a copy. Every record's value names the copy, so that what lies in
// an object can be told from its bytes alone.
func (c *copyOf) bytes(unix int64) record.Batch {
	values := make([]string, c.records)
	for i := range values {
		values[i] = c.String()
	}
	return recordtest.Batch(recordtest.Options{
		Values: values, Time: unix, Idempotent: c.producer >= 0, ProducerID: c.producer, Epoch: c.epoch, Sequence: c.sequence,
	})
}

// conn is one connection of a client to an agent. Requests arrive in order and answers leave in
// the order of their requests.
type conn struct {
	agent  *agent
	lost   func(*conn)                   // the client learns that the connection is gone
	got    func(*copyOf, produce.Answer) // the client gets an answer
	queue  []*exchange
	closed bool
	freeAt [2]time.Duration
}

// exchange is a request and, once it is there, its answer.
type exchange struct {
	copy     *copyOf
	answer   produce.Answer
	answered bool
}

func dial(a *agent, got func(*copyOf, produce.Answer), lost func(*conn)) *conn {
	c := &conn{agent: a, got: got, lost: lost}
	a.conns = append(a.conns, c)
	return c
}

func (c *conn) arrival(direction int) time.Duration {
	w := c.agent.w
	c.freeAt[direction] = max(c.freeAt[direction], w.now) + w.between(100*time.Microsecond, 3*time.Millisecond)
	return c.freeAt[direction] - w.now
}

// send hands a copy to the agent.
func (c *conn) send(x *copyOf) {
	x.conn = c
	b := x.bytes(c.agent.w.unix())
	c.queue = append(c.queue, &exchange{copy: x})
	life := c.agent.life
	c.agent.w.after(c.arrival(0), "request arrives", func() {
		if !c.closed && c.agent.up && c.agent.life == life {
			c.agent.receive(x, b)
		}
	})
}

// answer is the agent's; it leaves when all before it have left.
func (c *conn) answer(x *copyOf, a produce.Answer) {
	if c.closed {
		return
	}
	for _, e := range c.queue {
		if e.copy == x {
			e.answer, e.answered = a, true
		}
	}
	for len(c.queue) > 0 && c.queue[0].answered {
		e := c.queue[0]
		c.queue = c.queue[1:]
		c.agent.w.after(c.arrival(1), "answer arrives", func() {
			if !c.closed {
				c.got(e.copy, e.answer)
			}
		})
	}
}

// close breaks the connection. Answers that are under way are lost with it.
func (c *conn) close() {
	if c.closed {
		return
	}
	c.closed = true
	c.agent.conns = slices.DeleteFunc(c.agent.conns, func(o *conn) bool { return o == c })
	c.agent.w.after(c.agent.w.between(time.Millisecond, 50*time.Millisecond), "disconnect noticed", func() { c.lost(c) })
}
