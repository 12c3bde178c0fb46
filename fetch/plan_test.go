package fetch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// loc makes a location of records that take ten bytes each, in an object of its own.
func loc(p topic.Partition, object uint64, base topic.Offset, records uint32) segment.Location {
	return segment.Location{Partition: p, Base: base, Records: records, Size: 1 << 20, Position: 100, Length: records * 10,
		Object: segment.Object{Share: "s1", Group: "g", ID: segment.ID{Incarnation: 1, Session: 1, Sequence: object}}}
}

// TestPlanner runs scripts against the planner. Partitions are named p0, p1, …; a location is
// written object:base+records, and its records take ten bytes each. Commands:
//
//	new [plan-bytes=N] [locations=N] [partitions=N]
//	arrive                                                a request arrives: its token
//	look p0 offset=N since=TOKEN [max=BYTES]              what is known
//	take                                                  the questions raised, in order
//	answer tick=N start=S high=H [locs=(…)] [code=C]      a confirmed read
//	fail tick=N
//	event p0 start=S high=H [locs=(…)] [reset] [removed]  news of the watch
//	wait w1 need=BYTES at=(p0,p1)                         a waiter; who is woken is printed by each command
//	at ms=N                                               the time from now on
//	idle | restart | severed | withdrawn | reset | gone p0
//	changes                                               what the watch is to be told
func TestPlanner(t *testing.T) {
	datadriven.Walk(t, "testdata/planner", func(t *testing.T, path string) {
		w := &plannerWorld{t: t}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := w.run(d)
			for _, name := range w.woken {
				out += "woken " + name + "\n"
			}
			w.woken = nil
			return out
		})
	})
}

type plannerWorld struct {
	t     *testing.T
	p     *planner
	now   time.Duration
	taken map[uint64]question
	woken []string
}

func (w *plannerWorld) part(s string) topic.Partition {
	var i int32
	if _, err := fmt.Sscanf(s, "p%d", &i); err != nil {
		w.t.Fatalf("%s: %v", s, err)
	}
	return topic.Partition{Topic: topic.ID{15: 1}, Index: i}
}

func (w *plannerWorld) locs(d *datadriven.TestData, p topic.Partition) []segment.Location {
	var out []segment.Location
	for _, arg := range d.CmdArgs {
		if arg.Key != "locs" {
			continue
		}
		for _, v := range arg.Vals {
			var object uint64
			var base topic.Offset
			var records uint32
			if _, err := fmt.Sscanf(v, "%d:%d+%d", &object, &base, &records); err != nil {
				w.t.Fatalf("%s: %v", v, err)
			}
			out = append(out, loc(p, object, base, records))
		}
	}
	return out
}

func (w *plannerWorld) run(d *datadriven.TestData) string {
	t := w.t
	number := func(key string, otherwise int64) int64 {
		n := otherwise
		d.MaybeScanArgs(t, key, &n)
		return n
	}
	switch d.Cmd {
	case "new":
		cfg := Default()
		cfg.PlanBytes = number("plan-bytes", 1000)
		cfg.MaxLocations = int(number("locations", 1000))
		cfg.MaxPartitions = int(number("partitions", 1000))
		w.p, w.now, w.taken = newPlanner(&cfg), 0, map[uint64]question{}
	case "arrive":
		return fmt.Sprintf("token %d\n", w.p.arrive())
	case "at":
		w.now = time.Duration(number("ms", 0)) * time.Millisecond
	case "look":
		v := w.p.look(w.now, uint64(number("since", 0)), w.part(d.CmdArgs[0].Key), topic.Offset(number("offset", 0)), number("max", 100), int(number("most", 1000)))
		return v.String() + "\n"
	case "take":
		var out strings.Builder
		for _, q := range w.p.take() {
			w.taken[q.tick] = q
			fmt.Fprintf(&out, "tick %d: p%d from %d\n", q.tick, q.Partition.Index, q.Offset)
		}
		return out.String()
	case "answer":
		q := w.taken[uint64(number("tick", 0))]
		w.p.answer(w.now, q, &segment.PartitionPlan{Code: int16(number("code", 0)), LogStart: topic.Offset(number("start", 0)),
			HighWatermark: topic.Offset(number("high", 0)), Locations: w.locs(d, q.Partition)})
	case "fail":
		w.p.fail(w.now, w.taken[uint64(number("tick", 0))])
	case "event":
		p := w.part(d.CmdArgs[0].Key)
		w.p.event(w.now, &segment.Event{Partition: p, Reset: d.HasArg("reset"), Removed: d.HasArg("removed"),
			LogStart: topic.Offset(number("start", 0)), HighWatermark: topic.Offset(number("high", 0)), Locations: w.locs(d, p)})
	case "wait":
		name := d.CmdArgs[0].Key
		var parts []topic.Partition
		for _, arg := range d.CmdArgs {
			if arg.Key == "at" {
				for _, v := range arg.Vals {
					parts = append(parts, w.part(v))
				}
			}
		}
		w.p.wait(&waiter{need: number("need", 1), wake: func() { w.woken = append(w.woken, name) }}, parts)
	case "idle":
		w.p.idle(w.now)
	case "restart":
		w.p.restart()
	case "severed":
		w.p.severed()
	case "withdrawn":
		w.p.withdrawn()
	case "reset":
		w.p.reset()
	case "gone":
		w.p.gone(w.part(d.CmdArgs[0].Key))
	case "changes":
		remove, add := w.p.changes()
		var out strings.Builder
		for _, p := range remove {
			fmt.Fprintf(&out, "remove p%d\n", p.Index)
		}
		for _, p := range add {
			fmt.Fprintf(&out, "add p%d\n", p.Index)
		}
		return out.String()
	default:
		t.Fatalf("unknown command %s", d.Cmd)
	}
	return ""
}

// String prints a view for scripts.
func (v *view) String() string {
	var b strings.Builder
	b.WriteString(map[verdict]string{ready: "ready", atEnd: "at end", asking: "asking", away: "away", refused: "refused"}[v.verdict])
	if v.code != 0 {
		fmt.Fprintf(&b, " %d", v.code)
	}
	if !v.known {
		b.WriteString(", nothing known")
		return b.String()
	}
	fmt.Fprintf(&b, ", log [%d,%d)", v.logStart, v.high)
	for _, l := range v.locations {
		fmt.Fprintf(&b, " %d:%d+%d", l.Object.ID.Sequence, l.Base, l.Records)
	}
	if len(v.locations) > 0 {
		fmt.Fprintf(&b, ", %d bytes", v.bytes)
		if v.tail {
			b.WriteString(", tail")
		}
	}
	return b.String()
}

// truth is the log that the property test's control plane holds.
type truth struct {
	start topic.Offset
	locs  []segment.Location
}

func (x *truth) high() topic.Offset {
	if len(x.locs) == 0 {
		return 0
	}
	return x.locs[len(x.locs)-1].End()
}

func (x *truth) plan(q segment.PlanQuery) segment.PartitionPlan {
	out := segment.PartitionPlan{LogStart: x.start, HighWatermark: x.high(), LastStable: x.high()}
	if q.Offset < x.start {
		return out
	}
	size := int64(0)
	for _, l := range x.locs {
		if l.End() > q.Offset && size < q.MaxBytes {
			out.Locations = append(out.Locations, l)
			size += int64(l.Length)
		}
	}
	return out
}

// planned is a planner, the true log behind it, and everything on its way between the two.
type planned struct {
	cfg  Config
	p    *planner
	part topic.Partition
	now  time.Duration

	truth
	objects uint64

	news    []segment.Event // in order
	watched bool
	dropped bool // news were lost since the last one sent

	questions []question
	answers   []planAnswer

	told topic.Offset // the latest end that a view told
	// What a request in flight may believe: the end when it arrived, the least that was true since.
	since     uint64
	leastHigh topic.Offset
}

type planAnswer struct {
	question
	plan segment.PartitionPlan
}

func newPlanned(locations int) *planned {
	m := &planned{cfg: Default(), part: topic.Partition{Topic: topic.ID{15: 1}}, told: topic.NoOffset}
	m.cfg.PlanBytes, m.cfg.MaxLocations, m.cfg.LocationLife = 200, locations, time.Minute
	m.p = newPlanner(&m.cfg)
	m.arrive(nil)
	return m
}

func (m *planned) arrive(*rapid.T) { m.since, m.leastHigh = m.p.arrive(), m.high() }

func (m *planned) place(t *rapid.T) {
	m.objects++
	l := loc(m.part, m.objects, m.high(), rapid.Uint32Range(1, 5).Draw(t, "records"))
	m.locs = append(m.locs, l)
	if m.watched {
		m.news = append(m.news, segment.Event{Partition: m.part, Reset: m.dropped, LogStart: m.start, HighWatermark: m.high(), Locations: []segment.Location{l}})
		m.dropped = false
	}
}

func (m *planned) trim(t *rapid.T) {
	m.start = topic.Offset(rapid.Int64Range(int64(m.start), int64(m.high())).Draw(t, "start"))
}

func (m *planned) passTime(t *rapid.T) {
	m.now += time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second
}

func (m *planned) tellWatch(*rapid.T) {
	if remove, add := m.p.changes(); len(add) > 0 {
		m.watched = true
		m.news = append(m.news, segment.Event{Partition: m.part, LogStart: m.start, HighWatermark: m.high()})
	} else if len(remove) > 0 {
		m.watched = false
	}
}

func (m *planned) dropNews(*rapid.T) {
	if len(m.news) > 0 {
		m.news, m.dropped = nil, true
	}
}

func (m *planned) deliver(*rapid.T) {
	if len(m.news) > 0 {
		m.p.event(m.now, &m.news[0])
		m.news = m.news[1:]
	}
}

func (m *planned) sever(*rapid.T) {
	m.news, m.watched, m.dropped = nil, false, false
	m.p.severed()
	m.p.restart()
}

func (m *planned) ask(*rapid.T) { m.questions = append(m.questions, m.p.take()...) }

func (m *planned) read(*rapid.T) {
	if len(m.questions) > 0 {
		q := m.questions[0]
		m.questions = m.questions[1:]
		m.answers = append(m.answers, planAnswer{q, m.plan(q.PlanQuery)})
	}
}

func (m *planned) answer(t *rapid.T) {
	if len(m.answers) > 0 {
		i := rapid.IntRange(0, len(m.answers)-1).Draw(t, "which")
		m.p.answer(m.now, m.answers[i].question, &m.answers[i].plan)
		m.answers = append(m.answers[:i:i], m.answers[i+1:]...)
	}
}

func (m *planned) fail(*rapid.T) {
	if len(m.questions) > 0 {
		m.p.fail(m.now, m.questions[0])
		m.questions = m.questions[1:]
	}
}

func (m *planned) look(t *rapid.T) {
	high := int64(m.high())
	offset := topic.Offset(rapid.OneOf(
		rapid.Int64Range(-1, high+2),
		rapid.Int64Range(high-1, high+1),
		rapid.Int64Range(high+1, high+6), // there soon, while the "no" is remembered
	).Draw(t, "offset"))
	v := m.p.look(m.now, m.since, m.part, offset, rapid.Int64Range(1, 200).Draw(t, "max"), rapid.IntRange(0, 300).Draw(t, "most"))
	if v.known {
		if v.high < m.told || v.high > m.high() || v.logStart > m.start {
			t.Fatalf("told [%d,%d) after %d, the log is [%d,%d)", v.logStart, v.high, m.told, m.start, m.high())
		}
		m.told = v.high
	} else if m.told != topic.NoOffset {
		t.Fatal("ends were forgotten")
	}
	switch v.verdict {
	case refused:
		if v.code != codeOutOfRange || offset >= m.start && offset <= m.leastHigh {
			t.Fatalf("offset %d refused with %d; the log is [%d,%d), its end was %d", offset, v.code, m.start, m.high(), m.leastHigh)
		}
	case atEnd:
		if offset != v.high {
			t.Fatalf("offset %d at the end %d", offset, v.high)
		}
	case ready:
		m.checkRun(t, offset, v.locations)
	}
}

// checkRun holds the locations that a view gave for an offset against the true log.
func (m *planned) checkRun(t *rapid.T, offset topic.Offset, run []segment.Location) {
	want := m.plan(segment.PlanQuery{Partition: m.part, Offset: max(offset, m.start), MaxBytes: 1 << 40}).Locations
	next := run[0].Base
	if next > offset || run[0].End() <= offset {
		t.Fatalf("offset %d answered with a run from %d", offset, next)
	}
	for _, l := range run {
		if l.Base != next {
			t.Fatalf("hole before %d", l.Base)
		}
		if offset >= m.start && l != want[0] {
			t.Fatalf("location %v, wanted %v", l, want[0])
		}
		want, next = want[min(1, len(want)):], l.End()
	}
}

func (m *planned) checkHeld(t *rapid.T) {
	if n := len(m.p.tracks); n > 1 {
		t.Fatalf("%d tracks", n)
	}
	held := 0
	for _, tr := range m.p.tracks {
		held += len(tr.tail.recent)
		for _, r := range tr.runs {
			held += len(r.locations)
		}
	}
	if held != m.p.held || held > m.cfg.MaxLocations {
		t.Fatalf("%d locations held, %d counted, %d allowed", held, m.p.held, m.cfg.MaxLocations)
	}
}

// TestPlannerTellsTheTruth: with news late, dropped and out of order with plans, a view is a
// contiguous run of the true log that holds the offset; ends only move up and never pass the
// truth; and "out of range" was true at some moment after the request arrived.
func TestPlannerTellsTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newPlanned(rapid.IntRange(5, 100).Draw(t, "locations"))
		steps := []struct {
			name   string
			weight int // so that news, questions and looks meet
			step   func(*rapid.T)
		}{
			{"place", 3, m.place},
			{"drop news", 1, m.dropNews},
			{"deliver", 3, m.deliver},
			{"trim", 1, m.trim},
			{"pass time", 1, m.passTime},
			{"tell watch", 2, m.tellWatch},
			{"sever", 1, m.sever},
			{"ask", 2, m.ask},
			{"read", 2, m.read},
			{"answer", 2, m.answer},
			{"fail", 1, m.fail},
			{"arrive", 1, m.arrive},
			{"look", 5, m.look},
		}
		var names []string
		do := map[string]func(*rapid.T){}
		for _, s := range steps {
			names = append(names, slices.Repeat([]string{s.name}, s.weight)...)
			do[s.name] = s.step
		}
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 100, 300).Draw(t, "steps") {
			do[name](t)
			m.checkHeld(t)
		}
	})
}
