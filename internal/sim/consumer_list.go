package sim

import (
	"time"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// list asks where a partition begins, ends, or where a time lies in it.
func (c *consumer) list(p *position) {
	c.busy = true
	f, life, agent := c.at, c.life, c.at.life
	q := segment.OffsetQuery{Partition: p.partition, Timestamp: p.begin}
	c.w.after(f.network(), "list arrives", func() {
		if !f.up || f.life != agent || c.life != life {
			return
		}
		before := c.r.truth(p.partition)
		f.list(q, func(found segment.OffsetFound, exact bool, err error) {
			if err == nil && found.Code == 0 && q.Timestamp >= 0 {
				f.witness.time(q, found.Offset, exact, before)
			}
			if c.life == life {
				c.busy = false
				c.listed(p, found, err)
			}
		})
	})
}

func (c *consumer) listed(p *position, found segment.OffsetFound, err error) {
	switch {
	case err != nil:
	case found.Code != 0:
		p.absent = c.w.now
	case found.Offset == topic.NoOffset:
		p.begin = segment.TimestampLatest
	default:
		p.next, p.absent = found.Offset, 0
	}
	c.later(c.w.between(0, 50*time.Millisecond))
}

// list is ListOffsets as the broker does it: the index says in which location, the agent which record.
func (f *fetcher) list(q segment.OffsetQuery, tell func(found segment.OffsetFound, exact bool, err error)) {
	crew := f.crew
	crew.do(func() {
		crew.Go(func() {
			ctx, cancel := crew.Timeout(crew.ctx, 2*time.Second)
			defer cancel()
			found, err := f.ListOffsets(ctx, []segment.OffsetQuery{q})
			if crew.over || err != nil {
				f.w.after(f.network(), "list fails", func() { tell(segment.OffsetFound{}, false, errAway) })
				return
			}
			one, exact := found[0], false
			if one.In != nil {
				f.witness.learn([]segment.Location{*one.In})
				offset, _, err := f.handler.Refine(crew.ctx, *one.In, q.Timestamp)
				if exact = err == nil && offset != topic.NoOffset; exact {
					f.w.saw("time found")
					one.Offset = offset
				}
			}
			if crew.over {
				return
			}
			f.w.after(f.network(), "list answered", func() { tell(one, exact, nil) })
		})
	})
}

// time: the offset of a time is that of the first record as late; where the record itself could not be
// read, it is never later.
func (k *witness) time(q segment.OffsetQuery, found topic.Offset, exact bool, before ends) {
	w := k.f.w
	if _, there := w.reading.alive[q.Partition.Topic]; !there {
		return
	}
	log := w.checks.log[q.Partition]
	first := func(from topic.Offset) topic.Offset {
		for i := range log {
			if log[i].base >= from && log[i].bytes.MaxTimestamp() >= q.Timestamp {
				return log[i].base
			}
		}
		return topic.NoOffset
	}
	early, late := first(before.logStart), first(w.reading.truth(q.Partition).logStart)
	switch {
	case found == topic.NoOffset:
		if late != topic.NoOffset && late < before.high {
			w.violated("I9: %s finds no record of %s as late as %d, there is one at %d", k.f.name, q.Partition, q.Timestamp, late)
		}
	case late == topic.NoOffset && early == topic.NoOffset, late != topic.NoOffset && found > late, exact && found < early:
		w.violated("I9: %s finds time %d of %s at %d (exact: %v), it is at %d, or at %d now", k.f.name, q.Timestamp, q.Partition, found, exact, early, late)
	}
}
