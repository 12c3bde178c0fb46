package control

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// modelEntry is an index entry as a slice of them would hold it.
type modelEntry struct {
	base, records, length, position int64
	maxTime, committed              int64
	sequence                        uint64
}

// model is the index of one partition, written as plainly as can be.
type model struct {
	entries       []modelEntry
	logStart, end int64
}

func (m *model) bytes() (n int64) {
	for _, e := range m.entries {
		n += e.length
	}
	return n
}

func (m *model) retain(now, ms, size int64) {
	for len(m.entries) > 0 {
		e := m.entries[0]
		if !(ms >= 0 && now >= e.committed+ms) && !(size >= 0 && m.bytes()-e.length >= size) {
			break
		}
		m.entries = m.entries[1:]
	}
	m.logStart = m.end
	if len(m.entries) > 0 {
		m.logStart = m.entries[0].base
	}
}

// indexWorld drives a state and the model alike.
type indexWorld struct {
	s        *State
	parts    []topic.Partition
	models   []model
	now      int64
	sequence uint64
	ms, size int64 // retention
}

func newIndexWorld(maxExtent int64, partitions int) *indexWorld {
	l := testLimits()
	l.MaxExtentBytes = maxExtent
	w := &indexWorld{s: NewState(l), now: 1000, models: make([]model, partitions), ms: -1, size: -1}
	id := topic.ID{1}
	w.apply(&controlpb.Command{Op: &controlpb.Command_CreateShare{CreateShare: &controlpb.CreateShareCommand{Share: &controlpb.Share{Name: "default"}}}})
	w.apply(&controlpb.Command{Op: &controlpb.Command_CreateTopic{CreateTopic: &controlpb.CreateTopicCommand{
		Name: "t", Id: id[:], Partitions: int32(partitions), Share: "default", Config: map[string]string{"retention.ms": "-1"},
	}}})
	w.apply(&controlpb.Command{Op: &controlpb.Command_Login{Login: &controlpb.LoginCommand{
		Request: &controlpb.LoginRequest{Agent: "a", Group: "g", Roles: []string{"produce"}},
	}}})
	for i := range partitions {
		w.parts = append(w.parts, topic.Partition{Topic: id, Index: int32(i)})
	}
	return w
}

func (w *indexWorld) apply(c *controlpb.Command) Result {
	c.Time = w.now
	return w.s.Apply(c)
}

func (w *indexWorld) commit(rows []segment.Row) Result {
	m := segment.Manifest{Rows: rows, Size: rows[len(rows)-1].Position + rows[len(rows)-1].Length}
	w.sequence++
	return w.apply(&controlpb.Command{Op: &controlpb.Command_Commit{Commit: &controlpb.CommitRequest{
		Session: 1, Share: "default", Sequence: w.sequence, After: w.sequence - 1, Acked: w.sequence - 1,
		Nonce: make([]byte, 12), Manifest: segment.AppendManifest(nil, &m),
	}}})
}

// place commits drawn rows and returns what the events told of them.
func (w *indexWorld) place(t *rapid.T) {
	var rows []segment.Row
	at := int64(10)
	for i := range w.parts {
		m := &w.models[i]
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			length := int64(rapid.IntRange(61, 200).Draw(t, "length"))
			at += int64(rapid.SampledFrom([]int{0, 0, 0, 5}).Draw(t, "hole"))
			e := modelEntry{base: m.end, records: int64(rapid.IntRange(1, 4).Draw(t, "records")), length: length, position: at,
				maxTime: int64(rapid.IntRange(-1, 1000).Draw(t, "time")), committed: w.now, sequence: w.sequence + 1}
			rows = append(rows, segment.Row{Partition: w.parts[i], Position: uint32(at), Length: uint32(length), Records: uint32(e.records),
				MaxTimestamp: e.maxTime, Producer: segment.Producer{ID: segment.NoProducer}})
			at += length
			m.end += e.records
			m.add(e, w.s.limits.MaxExtentBytes)
		}
	}
	if len(rows) == 0 {
		return
	}
	told := map[topic.Partition]topic.Offset{}
	for _, e := range w.commit(rows).Events {
		for _, l := range e.Locations {
			if before, ok := told[e.Partition]; ok && before != l.Base {
				t.Fatalf("events of %s: location at %d after one that ends at %d", e.Partition, l.Base, before)
			}
			told[e.Partition] = l.End()
		}
		if told[e.Partition] != e.HighWatermark {
			t.Fatalf("events of %s end at %d, high watermark %d", e.Partition, told[e.Partition], e.HighWatermark)
		}
	}
}

func (m *model) add(e modelEntry, most int64) {
	if n := len(m.entries); n > 0 {
		last := &m.entries[n-1]
		if last.sequence == e.sequence && last.position+last.length == e.position && last.length+e.length <= most {
			last.length += e.length
			last.records += e.records
			last.maxTime = max(last.maxTime, e.maxTime)
			return
		}
	}
	m.entries = append(m.entries, e)
}

// retain draws a retention and lets it work to its end.
func (w *indexWorld) retain(t *rapid.T) {
	w.ms = rapid.SampledFrom([]int64{-1, 2000, 500, 50}).Draw(t, "retention.ms")
	w.size = rapid.SampledFrom([]int64{-1, 8000, 1000, 0}).Draw(t, "retention.bytes")
	id := w.parts[0].Topic
	w.apply(&controlpb.Command{Op: &controlpb.Command_AlterTopicConfig{AlterTopicConfig: &controlpb.AlterTopicConfigCommand{
		Id: id[:], Config: map[string]string{"retention.ms": fmt.Sprint(w.ms), "retention.bytes": fmt.Sprint(w.size)},
	}}})
	for at, ok := w.s.NextDue(); ok && at <= w.now; at, ok = w.s.NextDue() {
		w.apply(&controlpb.Command{Op: &controlpb.Command_Tick{Tick: &controlpb.TickCommand{}}})
	}
	for i := range w.models {
		w.models[i].retain(w.now, w.ms, w.size)
	}
}

func (w *indexWorld) check(t *rapid.T) {
	for i, p := range w.parts {
		m := &w.models[i]
		start, end, ok := w.s.Ends(p)
		if !ok || int64(start) != m.logStart || int64(end) != m.end {
			t.Fatalf("%s: [%d,%d), want [%d,%d)", p, start, end, m.logStart, m.end)
		}
		w.checkPlan(t, p, m)
		w.checkTime(t, p, m)
	}
}

func (w *indexWorld) checkPlan(t *rapid.T, p topic.Partition, m *model) {
	offset := int64(rapid.IntRange(int(m.logStart)-1, int(m.end)).Draw(t, "offset"))
	most := int64(rapid.IntRange(0, 5000).Draw(t, "max bytes"))
	plan := w.s.Plan(p, topic.Offset(offset), most)
	var want []modelEntry
	bytes := int64(0)
	for _, e := range m.entries {
		if offset >= m.logStart && e.base+e.records > offset && (len(want) == 0 || bytes < most) {
			want = append(want, e)
			bytes += e.length
		}
	}
	if len(plan.Locations) != len(want) {
		t.Fatalf("plan of %s from %d, %d bytes: %d locations, want %d", p, offset, most, len(plan.Locations), len(want))
	}
	for i, l := range plan.Locations {
		e := want[i]
		if int64(l.Base) != e.base || int64(l.Records) != e.records || int64(l.Position) != e.position ||
			int64(l.Length) != e.length || l.Object.ID.Sequence != e.sequence || l.MaxTimestamp != e.maxTime {
			t.Fatalf("plan of %s from %d: %+v, want %+v", p, offset, l, e)
		}
	}
}

func (w *indexWorld) checkTime(t *rapid.T, p topic.Partition, m *model) {
	ts := int64(rapid.IntRange(0, 1100).Draw(t, "timestamp"))
	want, latest, at := int64(-1), int64(-1), int64(math.MinInt64)
	for _, e := range m.entries {
		if want < 0 && e.maxTime >= ts {
			want = e.base
		}
		if e.maxTime > at {
			latest, at = e.base, e.maxTime
		}
	}
	if f := w.s.FindOffset(segment.OffsetQuery{Partition: p, Timestamp: ts}); int64(f.Offset) != want {
		t.Fatalf("offset of %s by time %d: %d, want %d", p, ts, f.Offset, want)
	}
	if f := w.s.FindOffset(segment.OffsetQuery{Partition: p, Timestamp: -3}); int64(f.Offset) != latest {
		t.Fatalf("offset of %s of the maximum timestamp: %d, want %d", p, f.Offset, latest)
	}
}

// TestI1DenseIndex compares the index with a slice, while snapshots of it are taken and kept.
func TestI1DenseIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newIndexWorld(300, 2)
		var kept *Snapshot
		var want []byte
		write := func(sn *Snapshot) []byte {
			var b bytes.Buffer
			if _, err := sn.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}
		t.Repeat(map[string]func(*rapid.T){
			"place":  func(t *rapid.T) { w.place(t) },
			"place2": func(t *rapid.T) { w.place(t) },
			"retain": func(t *rapid.T) { w.retain(t) },
			"time":   func(t *rapid.T) { w.now += int64(rapid.IntRange(0, 300).Draw(t, "ms")) },
			"restart": func(t *rapid.T) {
				s, err := ReadState(bytes.NewReader(write(w.s.Snapshot())), w.s.Limits())
				if err != nil {
					t.Fatal(err)
				}
				w.s, kept = s, nil
			},
			"snapshot": func(t *rapid.T) {
				kept = w.s.Snapshot()
				want = write(kept)
			},
			"release": func(t *rapid.T) {
				if kept == nil {
					return
				}
				if !bytes.Equal(write(kept), want) {
					t.Fatal("a snapshot changed while it was kept")
				}
				kept.Release()
				kept = nil
			},
			"": w.check,
		})
	})
}

// TestI1ManyBlocks walks a partition through many blocks, dropped at one end while it grows at
// the other, with a snapshot held over all of it.
func TestI1ManyBlocks(t *testing.T) {
	w := newIndexWorld(61, 1)
	grow := func(n int) {
		for range n {
			var rows []segment.Row
			for i := range 50 {
				rows = append(rows, segment.Row{Partition: w.parts[0], Position: uint32(10 + 61*i), Length: 61, Records: 1,
					MaxTimestamp: w.now, Producer: segment.Producer{ID: segment.NoProducer}})
			}
			w.commit(rows)
			w.now++
		}
	}
	grow(100)
	sn := w.s.Snapshot()
	var want, got bytes.Buffer
	if _, err := sn.WriteTo(&want); err != nil {
		t.Fatal(err)
	}
	blocks := w.s.blocks.Blocks()
	id := w.parts[0].Topic
	for range 5 {
		w.apply(&controlpb.Command{Op: &controlpb.Command_AlterTopicConfig{AlterTopicConfig: &controlpb.AlterTopicConfigCommand{
			Id: id[:], Config: map[string]string{"retention.ms": "10"},
		}}})
		w.apply(&controlpb.Command{Op: &controlpb.Command_Tick{Tick: &controlpb.TickCommand{}}})
		grow(50)
	}
	checkDense(t, w.s)
	if _, err := sn.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Fatalf("the snapshot changed (%v)", err)
	}
	sn.Release()
	before := w.s.blocks.Blocks()
	for range 20 {
		w.apply(&controlpb.Command{Op: &controlpb.Command_Tick{Tick: &controlpb.TickCommand{}}})
		grow(50)
	}
	if after := w.s.blocks.Blocks(); before <= blocks || after > before {
		t.Errorf("%d blocks, %d while the snapshot was held, %d after: freed ones are not used again", blocks, before, after)
	}
	p, _ := w.s.partition(w.parts[0])
	if _, ok := p.byTime(&w.s.blocks, w.now); ok {
		t.Error("found a time that is not there")
	}
	if i, ok := p.byTime(&w.s.blocks, w.now-1); !ok || p.entry(&w.s.blocks, i).maxTime != w.now-1 {
		t.Error("the last commit's time is not found")
	}
}
