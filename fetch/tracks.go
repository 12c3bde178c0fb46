package fetch

import (
	"time"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// What follows is the planner's other half: which partitions it holds, and what the watch is told of them.

// track returns what is held of a partition, and begins to watch it if need be.
func (p *planner) track(now time.Duration, part topic.Partition) *track {
	t := p.tracks[part]
	if t == nil {
		if len(p.tracks) >= p.cfg.MaxPartitions {
			p.drop(p.recent.Front().Value.(*track))
		}
		t = &track{partition: part, fresh: true}
		t.place = p.recent.PushBack(t)
		p.tracks[part] = t
		p.dirty = append(p.dirty, part)
	}
	t.used = now
	p.recent.MoveToBack(t.place)
	return t
}

// drop stops watching a partition.
func (p *planner) drop(t *track) {
	p.forget(t)
	p.recent.Remove(t.place)
	delete(p.tracks, t.partition)
	p.dirty = append(p.dirty, t.partition)
	t.waiting.credit(-1)
}

// idle stops watching what nobody has fetched for long. A partition with waiters is in use.
func (p *planner) idle(now time.Duration) {
	for e := p.recent.Front(); e != nil; {
		t := e.Value.(*track)
		e = e.Next()
		p.expire(now, t)
		if now-t.used >= p.cfg.WatchIdle && t.waiting.empty() && len(t.open) == 0 {
			p.drop(t)
		}
	}
}

// changes hands out what the watch is to be told since the last call: removals first, for a
// partition dropped and taken up again must be told anew.
func (p *planner) changes() (remove, add []topic.Partition) {
	for _, part := range p.dirty {
		t := p.tracks[part]
		if p.told[part] && (t == nil || t.fresh) {
			remove = append(remove, part)
			delete(p.told, part)
		}
		if t != nil && t.fresh {
			t.fresh = false
			p.told[part] = true
			add = append(add, part)
		}
	}
	p.dirty = nil
	return remove, add
}

// restart begins a new stream: every partition is to be told of again, and until the stream
// speaks of it, its end is asked of the control plane.
func (p *planner) restart() {
	p.told = map[topic.Partition]bool{}
	p.dirty = nil
	for e := p.recent.Front(); e != nil; e = e.Next() {
		t := e.Value.(*track)
		t.live, t.fresh = false, true
		p.dirty = append(p.dirty, t.partition)
	}
}

// severed says that the stream has ended: from now on ends are asked for.
func (p *planner) severed() {
	for e := p.recent.Front(); e != nil; e = e.Next() {
		e.Value.(*track).live = false
	}
}

// withdrawn forgets where all records lie, and has everybody who waits look again.
func (p *planner) withdrawn() {
	for e := p.recent.Front(); e != nil; e = e.Next() {
		t := e.Value.(*track)
		p.withdraw(t)
		t.waiting.credit(-1)
	}
}

// reset forgets everything: another incarnation has begun, in which offsets may lie lower.
func (p *planner) reset() {
	for e := p.recent.Front(); e != nil; {
		t := e.Value.(*track)
		e = e.Next()
		p.drop(t)
	}
	p.raised = nil
	p.restart()
}
