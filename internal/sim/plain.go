package sim

import (
	"fmt"
	"time"

	"github.com/isthmusdata/isthmus/produce"
)

// plain is a producer without a producer id, one request in flight: a batch whose fate is
// unknown is sent again and may then lie there twice, as with Kafka.
type plain struct {
	w       *World
	index   int
	batches []*outgoing
	at      int // the batch that is being sent
	leader  int
	conn    *conn
	parts   int
}

func newPlain(w *World, index, partitions, batches int) *plain {
	p := &plain{w: w, index: index, parts: partitions}
	for i := range batches {
		p.batches = append(p.batches, &outgoing{number: i, records: 1 + i%2})
	}
	return p
}

func (p *plain) run()       { p.send() }
func (p *plain) done() bool { return p.at == len(p.batches) }
func (p *plain) move()      { p.leader = p.w.rng.IntN(len(p.w.agents)) }

func (p *plain) describe() string {
	return fmt.Sprintf("client %d (plain): batch %d of %d", p.index, p.at, len(p.batches))
}

func (p *plain) later(d time.Duration) { p.w.after(d, "plain", p.send) }

func (p *plain) send() {
	if p.done() {
		return
	}
	b := p.batches[p.at]
	a := p.w.agents[p.leader]
	switch {
	case b.status == flying:
		return
	case !a.up:
		p.move()
		p.later(200 * time.Millisecond)
		return
	case p.conn == nil || p.conn.closed || p.conn.agent != a:
		p.conn = dial(a, p.received, p.lost)
	}
	b.status, b.on = flying, p.conn
	b.try++
	x := &copyOf{batch: batchID{p.index, b.number}, try: b.try, partition: int32(p.at % p.parts), producer: -1, records: b.records}
	p.w.tell("client %d (plain) sends %s to %s", p.index, x, a.name)
	p.conn.send(x)
}

func (p *plain) received(x *copyOf, a produce.Answer) {
	b := p.batches[p.at]
	if b.number != x.batch.number || b.try != x.try || b.status != flying {
		return
	}
	if a.Code == 0 {
		b.status = acknowledged
		p.at++
		p.later(p.w.between(0, 2*time.Second))
		return
	}
	b.status = queued
	p.later(100 * time.Millisecond)
}

func (p *plain) lost(c *conn) {
	p.move()
	if p.done() {
		return
	}
	if b := p.batches[p.at]; b.status == flying && b.on == c {
		b.status = queued
		p.later(100 * time.Millisecond)
	}
}
