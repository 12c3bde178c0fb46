package fetch

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/record/recordtest"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// flat joins gathered slices.
func flat(slices [][]byte) []byte { return bytes.Join(slices, nil) }

// TestEncodeLikeKmsg: in every version, an answer is what kmsg encodes and decodes.
func TestEncodeLikeKmsg(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		version := rapid.Int16Range(4, 17).Draw(t, "version")
		r := response{version: version, code: 0, sessionID: rapid.Int32().Draw(t, "session"), committed: rapid.Bool().Draw(t, "committed")}
		want := kmsg.NewPtrFetchResponse()
		want.Version = version
		if version >= 7 {
			want.SessionID = r.sessionID
		}
		for i := range rapid.IntRange(0, 4).Draw(t, "topics") {
			rt := kmsg.NewFetchResponseTopic()
			name := ref{name: rapid.StringN(1, 20, 100).Draw(t, "name") + string(rune('a'+i))}
			if version >= 13 {
				name = ref{id: topic.ID{byte(i), 7}}
			}
			rt.Topic, rt.TopicID = name.name, name.id
			for j := range rapid.IntRange(1, 4).Draw(t, "partitions") {
				name.index = int32(j)
				a := answered{ref: name, code: rapid.Int16().Draw(t, "code"), high: topic.Offset(rapid.Int64().Draw(t, "high")),
					logStart: topic.Offset(rapid.Int64().Draw(t, "start"))}
				for range rapid.IntRange(0, 3).Draw(t, "slices") {
					b := bytes.Repeat([]byte{byte(j)}, rapid.IntRange(1, 300).Draw(t, "size"))
					a.records.slices = append(a.records.slices, b)
					a.records.size += len(b)
				}
				r.parts = append(r.parts, a)
				rp := kmsg.NewFetchResponseTopicPartition()
				rp.Partition, rp.ErrorCode, rp.HighWatermark, rp.LastStableOffset = a.index, a.code, int64(a.high), int64(a.high)
				if version >= 5 {
					rp.LogStartOffset = int64(a.logStart)
				}
				rp.RecordBatches = append([]byte{}, flat(a.records.slices)...)
				if r.committed {
					rp.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
				}
				rt.Partitions = append(rt.Partitions, rp)
			}
			want.Topics = append(want.Topics, rt)
		}
		got, expect := flat(r.encode()), want.AppendTo(nil)
		if !bytes.Equal(got, expect) {
			t.Fatalf("version %d:\n% x\nkmsg:\n% x", version, got, expect)
		}
		back := kmsg.NewPtrFetchResponse()
		back.Version = version
		if err := back.ReadFrom(got); err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
	})
}

// TestTopicsAreGrouped: partitions in the order of a session, where topics alternate.
func TestTopicsAreGrouped(t *testing.T) {
	parts := []answered{{ref: ref{name: "a", index: 0}}, {ref: ref{name: "b", index: 0}}, {ref: ref{name: "a", index: 1}}, {ref: ref{name: "b", index: 1}}}
	groups := byTopic(parts)
	if len(groups) != 2 || len(groups[0]) != 2 || groups[0][1].index != 1 || groups[0][1].name != "a" || parts[1].name != "b" {
		t.Errorf("%+v", groups)
	}
}

// TestCutKeepsBatchesWhole: what is cut is the stamped batches from the one that holds the
// offset on, whole, within the budget; large payloads are not copied, small ones gathered.
func TestCutKeepsBatchesWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		stamped := rapid.Bool().Draw(t, "stamped")
		const first = topic.Offset(1000)
		var data, want []byte
		var ends []topic.Offset
		var sizes []int
		base := first
		for range 1 + rng.IntN(12) {
			n := 1 + rng.IntN(5)
			o := recordtest.Options{Records: n, Size: rng.IntN(3000), Seed: rng.Uint64()}
			out := o
			out.BaseOffset, out.LeaderEpoch = int64(base), 7
			if stamped {
				o = out
			}
			data = append(data, recordtest.Batch(o)...)
			b := recordtest.Batch(out)
			want = append(want, b...)
			sizes = append(sizes, len(b))
			base += topic.Offset(n)
			ends = append(ends, base)
		}
		offset := first + topic.Offset(rng.Int64N(int64(base-first)))
		budget := int64(rng.IntN(2 * len(data)))
		due := rng.IntN(2) == 0
		s := scratch{pool: newScratchPool()}
		var g gathered
		next, full, err := cut(&g, &s, data, first, stamped, 7, offset, budget, due)
		if err != nil {
			t.Fatal(err)
		}
		got, skip, size, end := flat(g.slices), 0, 0, offset
		wantFull := false
		for i, e := range ends {
			if e <= offset {
				skip += sizes[i]
				continue
			}
			if int64(size+sizes[i]) > budget && !(due && size == 0) {
				wantFull = true
				break
			}
			size += sizes[i]
			end = e
		}
		if !bytes.Equal(got, want[skip:skip+size]) || g.size != size || next != end || full != wantFull {
			t.Fatalf("cut %d bytes to %d (full %v), wanted %d bytes to %d (full %v)", len(got), next, full, size, end, wantFull)
		}
		if stamped && len(g.slices) > 1 {
			t.Fatalf("%d slices of bytes that stand together", len(g.slices))
		}
		s.release()
	})
}

// TestSmallBatchesAreGathered: a thousand small batches are a few slices.
func TestSmallBatchesAreGathered(t *testing.T) {
	var data []byte
	for i := range uint64(1000) {
		data = append(data, recordtest.Batch(recordtest.Options{Size: 100, Seed: i})...)
	}
	s := scratch{pool: newScratchPool()}
	var g gathered
	if _, _, err := cut(&g, &s, data, 0, false, 1, 0, 1<<20, true); err != nil {
		t.Fatal(err)
	}
	if len(g.slices) > 4 || g.referred != 0 {
		t.Errorf("%d slices, %d of them parts of the chunk", len(g.slices), g.referred)
	}
}

// FuzzCut: no bytes make it panic or give out what is not whole batches.
func FuzzCut(f *testing.F) {
	f.Add(recordtest.Frame(recordtest.Batch(recordtest.Options{Records: 3}), recordtest.Batch(recordtest.Options{Size: 5000})), int64(0), int64(1000), false)
	f.Add([]byte{}, int64(5), int64(0), true)
	f.Fuzz(func(t *testing.T, data []byte, offset, budget int64, stamped bool) {
		s := scratch{pool: newScratchPool()}
		var g gathered
		_, _, _ = cut(&g, &s, data, 0, stamped, 1, topic.Offset(offset), budget, true)
		rest := flat(g.slices)
		if len(rest) != g.size {
			t.Fatalf("%d bytes counted, %d there", g.size, len(rest))
		}
		for len(rest) > 0 {
			var err error
			if _, rest, err = record.Split(rest); err != nil {
				t.Fatal(err)
			}
		}
	})
}
