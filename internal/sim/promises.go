package sim

import (
	"cmp"
	"time"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/produce"
)

// promises is what an agent's writer owes in one life, whatever the control plane says.
type promises struct {
	a         *agent
	sealed    map[sequence]time.Duration // when a segment was first uploaded
	committed map[sequence]bool
	tried     map[segment.Nonce]bool
	held      map[sequence][]held // what segments hold that are not committed yet
	waiting   []*copyOf           // unanswered, in the order in which they came
	refused   []*copyOf           // answered with an error, by the agent alone, since the last input
}

func newPromises(a *agent) *promises {
	return &promises{a: a, sealed: map[sequence]time.Duration{}, held: map[sequence][]held{}, committed: map[sequence]bool{}, tried: map[segment.Nonce]bool{}}
}

// lateness is what an agent may be late by: it looks when it is woken.
const lateness = time.Second

// uploads: one that its deadline has passed is given up.
func (p *promises) uploads(put *produce.Put) {
	o := put.Object
	at := sequence{o.ID.Session, o.Share, o.ID.Sequence}
	began, known := p.sealed[at]
	if !known {
		p.sealed[at] = p.a.w.now
		p.held[at] = heldIn(put.Sealed)
		return
	}
	if took := p.a.w.now - began; took > produce.Default().UploadDeadline {
		p.a.w.violated("I10: %s uploads %s again %.1f s after it was sealed", p.a.name, o.ID, took.Seconds())
	}
}

// sends notes which batches only the control plane answers from now on.
func (p *promises) sends(c *segment.Commit) {
	at := sequence{c.Session, c.Share, c.Sequence}
	if c.Empty() || p.committed[at] {
		return
	}
	p.committed[at] = true
	for i := range c.Manifest.Rows {
		for _, one := range p.held[at] {
			if r := &c.Manifest.Rows[i]; one.position >= r.Position && one.position < r.Position+r.Length {
				p.asks(one.name, c)
			}
		}
	}
	delete(p.held, at)
	if took := p.a.w.now - p.sealed[at]; took > produce.Default().AnswerTimeout+lateness {
		p.a.w.violated("I5: %s commits %d of share %s %.1f s after it was sealed: its gap may be called final by then", p.a.name, c.Sequence, c.Share, took.Seconds())
	}
}

// asks: the commit asks for a place for a copy.
func (p *promises) asks(name string, c *segment.Commit) {
	if code, said := p.a.w.checks.errored[name]; said {
		p.a.w.violated("I11: %s answers %s with %d and commits it in 1-%d-%d", p.a.name, name, code, c.Session, c.Sequence)
	}
	for _, x := range p.waiting {
		if !x.sent && x.String() == name {
			x.sent = true
		}
	}
}

// held is a copy in a segment.
type held struct {
	position uint32
	name     string
}

// heldIn reads which copies a segment holds, and where.
func heldIn(s *segment.Sealed) []held {
	var all []held
	position := uint32(0)
	for i, part := range s.Body {
		if i > 0 && i < len(s.Body)-1 { // between header and footer
			if name, _, err := nameOf(part); err == nil {
				all = append(all, held{position, name})
			}
		}
		position += uint32(len(part))
	}
	return all
}

func (p *promises) took(x *copyOf) { p.waiting = append(p.waiting, x) }

func (p *promises) answers(x *copyOf, code int16) {
	for i, y := range p.waiting {
		if y == x {
			p.waiting = append(p.waiting[:i:i], p.waiting[i+1:]...)
			break
		}
	}
	if code != 0 && code != codeDuplicate && !x.sent {
		p.refused = append(p.refused, x)
	}
}

// settled: what the agent refuses of a lane, all that came after it in the lane is refused with, as long
// as its commit was not sent. One that stayed would be refused as a gap, or be taken before the
// ones that its client sends again.
func (p *promises) settled() {
	for _, x := range p.refused {
		for _, y := range p.waiting {
			if x.producer >= 0 && !y.sent && y.producer == x.producer && y.epoch == x.epoch && y.partition == x.partition &&
				cmp.Less(x.arrival, y.arrival) {
				p.a.w.violated("I5: %s refuses %s and keeps %s, which came after it", p.a.name, x, y)
			}
		}
	}
	p.refused = p.refused[:0]
}
