package control

import (
	"io"
	"runtime"
	"testing"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
)

func benchPlace(b *testing.B, partitions, rows int, idempotent bool) {
	w := newIndexWorld(4<<20, partitions)
	var ids []int64
	for range partitions * rows {
		ids = append(ids, w.apply(&controlpb.Command{Op: &controlpb.Command_InitProducer{InitProducer: &controlpb.InitProducerCommand{ProducerId: -1}}}).ProducerID)
	}
	next := make([]int32, len(ids))
	commit := &controlpb.CommitRequest{Session: 1, Share: "default", Nonce: make([]byte, 12)}
	cmd := &controlpb.Command{Op: &controlpb.Command_Commit{Commit: commit}}
	m := segment.Manifest{Size: uint32(100 * partitions * rows)}
	placed := 0
	for b.Loop() {
		m.Rows = m.Rows[:0]
		for i := range partitions * rows {
			r := segment.Row{Partition: w.parts[i/rows], Position: uint32(100 * i), Length: 100, Records: 10, Producer: segment.Producer{ID: segment.NoProducer}}
			if idempotent {
				r.Producer = segment.Producer{ID: ids[i], First: next[i], Last: next[i] + 9}
				next[i] += 10
			}
			m.Rows = append(m.Rows, r)
		}
		w.sequence++
		w.now++
		commit.Sequence, commit.After, commit.Acked = w.sequence, w.sequence-1, w.sequence-1
		commit.Manifest = segment.AppendManifest(commit.Manifest[:0], &m)
		cmd.Time = w.now
		placed += len(w.s.Apply(cmd).Reply.Answers)
	}
	b.ReportMetric(float64(placed)/b.Elapsed().Seconds(), "placements/s")
}

// A commit of 1,000 extents, each of another partition.
func BenchmarkPlaceExtents(b *testing.B) { benchPlace(b, 1000, 1, false) }

// A commit of 1,000 batches of as many idempotent producers over 100 partitions.
func BenchmarkPlaceIdempotent(b *testing.B) { benchPlace(b, 100, 10, true) }

// BenchmarkIndexBytes fills the index and weighs it.
func BenchmarkIndexBytes(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		w := newIndexWorld(100, 1000)
		m := segment.Manifest{Size: 100_000}
		for i := range w.parts {
			m.Rows = append(m.Rows, segment.Row{Partition: w.parts[i], Position: uint32(100 * i), Length: 100, Records: 10, Producer: segment.Producer{ID: segment.NoProducer}})
		}
		for range 1000 {
			w.commit(m.Rows)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(w.s.entries), "bytes/entry")
		runtime.KeepAlive(w)
	}
}

// BenchmarkSnapshot marks and writes a million entries.
func BenchmarkSnapshot(b *testing.B) {
	w := newIndexWorld(100, 1000)
	m := segment.Manifest{Size: 100_000}
	for i := range w.parts {
		m.Rows = append(m.Rows, segment.Row{Partition: w.parts[i], Position: uint32(100 * i), Length: 100, Records: 10, Producer: segment.Producer{ID: segment.NoProducer}})
	}
	for range 1000 {
		w.commit(m.Rows)
	}
	var written int64
	for b.Loop() {
		sn := w.s.Snapshot()
		n, err := sn.WriteTo(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		sn.Release()
		written = n
	}
	b.ReportMetric(float64(written)/float64(w.s.entries), "bytes/entry")
	b.ReportMetric(float64(w.s.entries)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
