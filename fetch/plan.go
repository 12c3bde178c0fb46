package fetch

import (
	"container/list"
	"slices"
	"time"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

const (
	recentPerPartition = 256  // locations of the watch kept per partition
	runsPerPartition   = 16   // plans remembered per partition
	locationsPerRun    = 4096 // locations kept of one plan, and no more than an eighth of all that may be held
	noesPerPartition   = 16
	leastPlan          = 1 << 20 // bytes asked for when many partitions share a question
)

// verdict is what look found for a partition and an offset.
type verdict uint8

const (
	// ready: Locations hold records from the offset on.
	ready verdict = iota + 1
	// atEnd: the offset is the high watermark; there is nothing to read yet.
	atEnd
	// asking: a question to the control plane is open; its answer wakes waiters.
	asking
	// away: the last question failed a moment ago, and nothing held here answers instead.
	away
	// refused: a confirmed read that began after the request arrived says Code.
	refused
)

// view is what the planner knows of a partition from an offset on.
type view struct {
	verdict   verdict
	code      int16 // Kafka error code when refused
	known     bool  // there has been a confirmed read: the ends below may be told
	logStart  topic.Offset
	high      topic.Offset
	locations []segment.Location // contiguous; the first holds the offset
	tail      bool               // all of them came with the watch
	bytes     int64              // what the locations hold from the offset on, about
}

// track is everything the planner holds of one partition.
type track struct {
	partition topic.Partition
	tail
	runs    []run
	open    []question // asked, not answered
	failed  time.Duration
	hasFail bool
	read    uint64 // tick of the latest confirmed read
	noes    []negative
	removed bool // the watch dropped it; a confirmed read that finds it watches it again
	waiting waiting
	used    time.Duration
	place   *list.Element
	fresh   bool // not yet told to the watch
}

// run is one remembered plan: contiguous locations and when they were learned.
type run struct {
	locations []placed
	until     time.Duration
}

// negative is a confirmed "no" and the question that it answers.
type negative struct {
	code   int16
	offset topic.Offset
	tick   uint64
}

// question is a plan query on its way; tick orders it against the arrival of requests, so
// that a "no" is believed only by requests that arrived before it was asked.
type question struct {
	segment.PlanQuery
	tick uint64
}

// planner knows where the records lie that fetches ask for: from the watch, from plans it
// remembers, or, when neither holds them, by raising a question for the control plane.
//
// It is pure: time is an argument, questions are handed out by take and answered by answer or
// fail, changes of what is watched are handed out by changes. Callers hold one lock around it.
type planner struct {
	cfg    *Config
	tracks map[topic.Partition]*track
	recent *list.List // of *track, least recently looked at first
	told   map[topic.Partition]bool
	dirty  []topic.Partition
	raised []question
	tick   uint64
	held   int // locations
}

func newPlanner(cfg *Config) *planner {
	return &planner{cfg: cfg, tracks: map[topic.Partition]*track{}, recent: list.New(), told: map[topic.Partition]bool{}}
}

// arrive returns the token of a request that arrives now: only confirmed reads that begin
// after it may tell this request that something is not there.
func (p *planner) arrive() uint64 { return p.tick }

// look says what is known of a partition from an offset on, for a request that arrived at
// since. It may raise a question.
func (p *planner) look(now time.Duration, since uint64, part topic.Partition, offset topic.Offset, maxBytes int64, most int) view {
	t := p.track(now, part)
	v := view{known: t.confirmed, logStart: t.logStart, high: t.high}
	for _, no := range t.noes {
		if no.tick > since && (no.offset == offset || no.code != codeOutOfRange) {
			v.verdict, v.code = refused, no.code
			return v
		}
	}
	if t.confirmed {
		if p.collect(now, t, offset, maxBytes, most, &v) {
			return v
		}
		if offset == t.high && (t.live || t.read > since) {
			v.verdict = atEnd
			return v
		}
	}
	v.verdict = p.ask(now, t, offset)
	return v
}

// ask raises a question about an offset unless one is open or has just failed.
func (p *planner) ask(now time.Duration, t *track, offset topic.Offset) verdict {
	if slices.ContainsFunc(t.open, func(q question) bool { return q.Offset == offset }) {
		return asking
	}
	if t.hasFail && now-t.failed < p.cfg.AskBackoff {
		return away
	}
	p.tick++
	q := question{PlanQuery: segment.PlanQuery{Partition: t.partition, Offset: offset}, tick: p.tick}
	t.open = append(t.open, q)
	p.raised = append(p.raised, q)
	return asking
}

// collect fills v with contiguous locations from offset on, at least one, no more than most and
// no more than reach maxBytes, and reports whether there are any. Near the end of what a plan brought it
// raises the question that continues it, so that a reader of history seldom waits for one.
func (p *planner) collect(now time.Duration, t *track, offset topic.Offset, maxBytes int64, most int, v *view) bool {
	p.expire(now, t)
	if offset < t.logStart {
		return false // the locations may live on, the records do not
	}
	at := offset
	for v.bytes < maxBytes && (len(v.locations) < most || len(v.locations) == 0) {
		l := t.find(at)
		recent := l != nil
		if l == nil {
			l = t.planned(at)
		}
		if l == nil || (len(v.locations) > 0 && l.Base != at) {
			break
		}
		if len(v.locations) == 0 {
			v.tail = recent
			v.bytes = int64(float64(l.Length) * float64(l.End()-offset) / float64(l.Records))
		} else {
			v.tail = v.tail && recent
			v.bytes += int64(l.Length)
		}
		v.locations = append(v.locations, *l)
		at = l.End()
	}
	if len(v.locations) == 0 {
		return false
	}
	v.verdict = ready
	if !v.tail {
		p.ahead(now, t, at)
	}
	return true
}

// following returns the locations from offset on that are known, and asks nothing. Those of the
// tail are left out: they are read when they are wanted.
func (p *planner) following(now time.Duration, part topic.Partition, offset topic.Offset, maxBytes int64) []segment.Location {
	t := p.tracks[part]
	if t == nil {
		return nil
	}
	p.expire(now, t)
	var out []segment.Location
	for bytes := int64(0); bytes < maxBytes && t.find(offset) == nil; {
		l := t.planned(offset)
		if l == nil || l.Base != offset {
			break
		}
		out = append(out, *l)
		bytes += int64(l.Length)
		offset = l.End()
	}
	return out
}

// ahead asks for what follows the plan that ends after offset, once less than half of a plan is left.
func (p *planner) ahead(now time.Duration, t *track, offset topic.Offset) {
	left := int64(0)
	for left < p.cfg.PlanBytes/2 {
		if offset >= t.high || t.find(offset) != nil {
			return
		}
		i := t.runAt(offset)
		if i < 0 {
			break
		}
		run := t.runs[i].locations
		for j := len(run) - 1; j >= 0 && run[j].End() > offset; j-- {
			left += int64(run[j].Length)
		}
		offset = run[len(run)-1].End()
	}
	if left < p.cfg.PlanBytes/2 && len(t.open) == 0 {
		p.ask(now, t, offset)
	}
}

// runAt returns the remembered plan that holds an offset, or -1.
func (t *track) runAt(offset topic.Offset) int {
	return slices.IndexFunc(t.runs, func(r run) bool {
		return r.locations[0].Base <= offset && offset < r.locations[len(r.locations)-1].End()
	})
}

func (t *track) planned(offset topic.Offset) *segment.Location {
	if i := t.runAt(offset); i >= 0 {
		return findPlaced(t.runs[i].locations, offset)
	}
	return nil
}

// take hands out the questions raised since the last call. Together they ask for about
// PlanBytes.
func (p *planner) take() []question {
	qs := p.raised
	p.raised = nil
	for i := range qs {
		qs[i].MaxBytes = max(p.cfg.PlanBytes/int64(len(qs)), leastPlan)
	}
	return qs
}

// answer takes in what a confirmed read said.
func (p *planner) answer(now time.Duration, q question, plan *segment.PartitionPlan) {
	t := p.tracks[q.Partition]
	if t == nil {
		return
	}
	t.close(q)
	t.hasFail = false
	if plan.Code != 0 {
		if plan.Code == codeUnauthorized {
			p.withdraw(t)
			t.removed = true
		}
		t.deny(negative{code: plan.Code, offset: q.Offset, tick: q.tick})
		t.waiting.credit(-1)
		return
	}
	t.raise(plan.LogStart, plan.HighWatermark)
	t.read = max(t.read, q.tick)
	t.noes = slices.DeleteFunc(t.noes, func(no negative) bool { return no.code != codeOutOfRange && no.tick < q.tick })
	if t.removed {
		t.removed, t.fresh = false, true
		p.dirty = append(p.dirty, t.partition)
	}
	switch {
	case len(plan.Locations) > 0:
		p.remember(now, t, plan.Locations)
	case q.Offset < plan.LogStart || q.Offset > plan.HighWatermark:
		t.deny(negative{code: codeOutOfRange, offset: q.Offset, tick: q.tick})
	}
	t.waiting.credit(-1)
}

// deny remembers a "no" for the requests that wait for it.
func (t *track) deny(no negative) {
	if len(t.noes) == noesPerPartition {
		t.noes = slices.Delete(t.noes, 0, 1)
	}
	t.noes = append(t.noes, no)
}

// fail takes in that a question was not answered.
func (p *planner) fail(now time.Duration, q question) {
	t := p.tracks[q.Partition]
	if t == nil {
		return
	}
	t.close(q)
	t.hasFail, t.failed = true, now
	t.waiting.credit(-1)
}

func (t *track) close(q question) {
	t.open = slices.DeleteFunc(t.open, func(o question) bool { return o.tick == q.tick })
}

// remember keeps the contiguous prefix of a plan. What is more than may be held is left out here:
// forgotten afterwards, it would be asked for again without end.
func (p *planner) remember(now time.Duration, t *track, locations []segment.Location) {
	r := run{until: now + p.cfg.LocationLife}
	most := min(locationsPerRun, max(1, p.cfg.MaxLocations/8))
	for i := range locations {
		l := &locations[i]
		if l.Records == 0 || l.Base < 0 || len(r.locations) == most {
			break
		}
		if n := len(r.locations); n > 0 && r.locations[n-1].End() != l.Base {
			break
		}
		r.locations = appendPlaced(r.locations, l, now)
	}
	if len(r.locations) == 0 {
		return
	}
	t.high = max(t.high, r.locations[len(r.locations)-1].End())
	for len(t.runs) >= runsPerPartition {
		p.dropRun(t, 0)
	}
	t.runs = append(t.runs, r)
	p.held += len(r.locations)
	p.shrink(t)
}

func (p *planner) dropRun(t *track, i int) {
	p.held -= len(t.runs[i].locations)
	t.runs = slices.Delete(t.runs, i, i+1)
}

// expire forgets locations past their life.
func (p *planner) expire(now time.Duration, t *track) {
	p.held -= t.tail.expire(now, p.cfg.LocationLife)
	for i := 0; i < len(t.runs); {
		if t.runs[i].until <= now {
			p.dropRun(t, i)
		} else {
			i++
		}
	}
}

// shrink forgets the locations of partitions that were looked at longest ago, until no more
// are held than may be; those of keep go last.
func (p *planner) shrink(keep *track) {
	if p.held <= p.cfg.MaxLocations {
		return
	}
	// A tenth more than need be, so that the list is not walked for every location.
	for e := p.recent.Front(); e != nil && p.held > p.cfg.MaxLocations/10*9; e = e.Next() {
		if t := e.Value.(*track); t != keep {
			p.forget(t)
		}
	}
	if p.held > p.cfg.MaxLocations {
		p.forget(keep)
	}
}

// forget drops a partition's locations; its ends stay.
func (p *planner) forget(t *track) {
	p.held -= len(t.tail.recent)
	t.tail.recent = nil
	for len(t.runs) > 0 {
		p.dropRun(t, len(t.runs)-1)
	}
}

// gone forgets the partition's locations in an object that is no longer there (I7).
func (p *planner) gone(part topic.Partition) {
	if t := p.tracks[part]; t != nil {
		p.forget(t)
	}
}

// withdraw forgets where the partition's records lie: what was said of it no longer holds. The ends stay: an answer
// that was under way may yet bring lower ones, and none that were told are taken back (I9).
func (p *planner) withdraw(t *track) {
	p.forget(t)
	t.live, t.read = false, 0
}

// event takes in news from the watch.
func (p *planner) event(now time.Duration, ev *segment.Event) {
	t := p.tracks[ev.Partition]
	if t == nil {
		return // removed meanwhile
	}
	if ev.Removed {
		p.withdraw(t)
		t.removed = true
		t.waiting.credit(-1)
		return
	}
	p.held -= t.tail.expire(now, p.cfg.LocationLife)
	high := t.high
	known := t.confirmed
	bytes, grown := t.tail.event(now, ev, recentPerPartition)
	p.held += grown
	p.shrink(t)
	switch {
	case !known || (bytes == 0 && t.high > high):
		t.waiting.credit(-1) // something is there, though not where
	case bytes > 0:
		t.waiting.credit(bytes)
	}
}
