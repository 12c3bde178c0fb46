package sim

import (
	"time"

	state "github.com/isthmusdata/isthmus/control"
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
	at      map[one]int64 // state time of the last row
	silent  map[one]int64 // the longest silence since a placement, ms: after it a producer may be forgotten
	time    int64         // of the last command
	when    time.Duration // it was stamped
	lead    int64         // the most that a trusted clock was ahead of the true time by
	full    bool          // the index may be: then nothing new is placed
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
	return &oracle{w: w, placed: map[one][]run{}, refused: map[one]map[int16]int64{}, at: map[one]int64{}, silent: map[one]int64{}, time: epoch}
}

func (o *oracle) applied(c *controlpb.Command, r segment.Reply) {
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

// times holds the leader's clock to what it may do: start from a clock that is believed, and then move no
// faster than time passes (I4).
func (o *oracle) times(c *controlpb.Command, stamped time.Duration) {
	jump := clockJump.Milliseconds()
	now, truth, passed := c.GetTime(), epoch+stamped.Milliseconds(), (stamped-o.when).Milliseconds()+1
	if now < o.time {
		o.w.violated("I4: a command is stamped %d ms before the last one", o.time-now)
	}
	switch e := c.GetElect(); {
	case e != nil && e.GetFrozen() && now > o.time+passed && now-truth > o.lead:
		o.w.violated("I4: the clock is not trusted and goes on by %d ms", now-o.time)
	case e != nil && now > o.time+passed+jump && now > truth+jump:
		o.w.violated("I4: at an election the time goes on by %d ms to %d ms after the true time", now-o.time, now-truth)
	case e == nil && c.GetConfirmClock() == nil && now > o.time+passed:
		o.w.violated("I4: within a term the time goes on by %d ms in %d ms", now-o.time, passed)
	}
	if e := c.GetElect(); e != nil {
		o.elected = now
		o.full = e.GetLimits().GetMaxIndexEntries() != int64(state.Default().MaxIndexEntries)
	}
	o.time, o.when, o.lead = now, stamped, max(o.lead, now-truth)
}

func (o *oracle) row(r *segment.Row, a segment.Answer, now int64) {
	p := r.Producer
	at := one{p.ID, r.Partition}
	if p.ID >= madeUp {
		if a.Verdict != segment.Refused {
			o.w.violated("I5: a batch is taken of producer %d, whom nobody was given", p.ID)
		}
		return
	}
	before, known := o.at[at]
	if known || a.Verdict != segment.Refused || !o.full && o.w.control.front().Stats().Producers < o.w.control.limits.MaxProducers {
		o.at[at] = now // else there was no room for an entry, or for the batch, and nothing is known of it afterwards
	}
	if known {
		o.silent[at] = max(o.silent[at], now-before)
	}
	if o.silent[at] < o.w.control.limits.ProducerIdle.Milliseconds() {
		o.remembered(at, p, a)
	}
	switch {
	case a.Verdict == segment.Placed:
		o.placed[at] = append(o.placed[at], run{p.Epoch, p.First, p.Last, a.Offset})
		delete(o.refused, at)
		delete(o.silent, at)
	case a.Verdict == segment.Duplicate:
		o.duplicate(at, p, a)
	case a.Code == codeOutOfOrder && p.ID != o.w.liar.producer:
		since, refused := o.refused[at][p.Epoch]
		if patience := o.w.control.limits.GapPatience.Milliseconds(); !refused || now-max(since, o.elected) < patience {
			o.w.violated("I5: producer %d is told 45 in %s for %d-%d of epoch %d, too soon", p.ID, r.Partition, p.First, p.Last, p.Epoch)
		}
	case a.Code == codeUnknownID && known && o.silent[at] < o.w.control.limits.ProducerExpiration.Milliseconds():
		o.w.violated("I5: producer %d is told 59 in %s, and was there %d ms ago", p.ID, r.Partition, now-before)
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

// remembered: of a producer that was heard of lately the next batch is placed and a late one repeated, not refused.
func (o *oracle) remembered(at one, p segment.Producer, a segment.Answer) {
	all := o.placed[at]
	if a.Code == codeUnknownPartition || a.Code == codeDenied {
		return // asked in the wrong place
	}
	if a.Verdict != segment.Refused || len(all) == 0 || all[len(all)-1].epoch != p.Epoch {
		return
	}
	next := p.First == all[len(all)-1].last+1 && !o.full
	for _, b := range all[max(0, len(all)-remembered):] {
		if next || b.epoch == p.Epoch && b.first == p.First && b.last == p.Last {
			o.w.violated("I5: producer %d is refused %d-%d of epoch %d in %s with %d, and was placed up to %d", p.ID, p.First, p.Last, p.Epoch, at.partition, a.Code, all[len(all)-1].last)
			return
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
