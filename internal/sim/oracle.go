package sim

import (
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// oracle holds the answers to idempotent batches against what it has seen placed (I5). It is told of
// every command in order, as the state is, and keeps everything.
type oracle struct {
	w       *World
	placed  map[one][]run
	refused map[one]map[int16]int64 // by epoch: state time of the first refusal since a placement
	elected int64
}

// one is one producer in one partition.
type one struct {
	producer  int64
	partition topic.Partition
}

// run is one batch that was placed.
type run struct {
	epoch       int16
	first, last int32
	offset      topic.Offset
}

// remembered is how many batches of a producer and partition get their offset again.
const remembered = 5

func newOracle(w *World) *oracle {
	return &oracle{w: w, placed: map[one][]run{}, refused: map[one]map[int16]int64{}}
}

func (o *oracle) applied(c *controlpb.Command, r segment.Reply) {
	if c.GetElect() != nil {
		o.elected = c.GetTime()
	}
	q := c.GetCommit()
	if q == nil || len(q.GetManifest()) == 0 || r.Outcome != segment.Answered {
		return
	}
	m, err := segment.ParseManifest(q.GetManifest())
	if err != nil || len(m.Rows) != len(r.Answers) {
		o.w.violated("I2: %d answers to a manifest of %d rows (%v)", len(r.Answers), len(m.Rows), err)
		return
	}
	for i := range m.Rows {
		if m.Rows[i].Producer.ID != segment.NoProducer {
			o.row(&m.Rows[i], r.Answers[i], c.GetTime())
		}
	}
}

func (o *oracle) row(r *segment.Row, a segment.Answer, now int64) {
	p := r.Producer
	at := one{p.ID, r.Partition}
	switch {
	case a.Verdict == segment.Placed:
		o.placed[at] = append(o.placed[at], run{p.Epoch, p.First, p.Last, a.Offset})
		delete(o.refused, at)
	case a.Verdict == segment.Duplicate:
		o.duplicate(at, p, a)
	case a.Code == codeOutOfOrder:
		since, refused := o.refused[at][p.Epoch]
		if patience := o.w.control.limits.GapPatience.Milliseconds(); !refused || now-max(since, o.elected) < patience {
			o.w.violated("I5: producer %d is told 45 in %s for %d-%d of epoch %d, too soon", p.ID, r.Partition, p.First, p.Last, p.Epoch)
		}
	case a.Code == codeInvalidEpoch:
		o.w.violated("I5: producer %d, which is not transactional, is told 47", p.ID)
	default:
		if o.refused[at] == nil {
			o.refused[at] = map[int16]int64{}
		}
		if _, refused := o.refused[at][p.Epoch]; !refused {
			o.refused[at][p.Epoch] = now
		}
	}
}

// duplicate: the batch was placed at the offset it is given, or so long ago that it is no longer known.
func (o *oracle) duplicate(at one, p segment.Producer, a segment.Answer) {
	for i, b := range o.placed[at] {
		if b.epoch != p.Epoch || b.first != p.First || b.last != p.Last {
			continue
		}
		later := len(o.placed[at]) - 1 - i
		if a.Code == 0 && a.Offset != b.offset || a.Code == codeDuplicate && later < remembered {
			o.w.violated("I5: producer %d is told that %d-%d of %s is a duplicate of %d (code %d): it lies at %d, %d batches back",
				p.ID, p.First, p.Last, at.partition, a.Offset, a.Code, b.offset, later)
		}
		return
	}
	o.w.violated("I5: producer %d is told that %d-%d of %s is a duplicate, and it was never placed", p.ID, p.First, p.Last, at.partition)
}
