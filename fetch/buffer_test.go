package fetch

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// TestBuffers: a buffer is nobody's or one reader's, is never much larger than what is asked for, and what is kept is bounded.
func TestBuffers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := buffers{limit: 1000, small: 10, step: 1}
		var held []*buffer
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				size := rapid.Int64Range(1, 400).Draw(t, "size")
				f := b.take(size)
				if f == nil {
					f = &buffer{bytes: make([]byte, b.roomy(size)), holds: 1}
				}
				if n := int64(len(f.bytes)); n < size || n-n/4 > size {
					t.Fatalf("%d bytes for %d", n, size)
				}
				for _, other := range held {
					if other == f {
						t.Fatal("a buffer that is held was given away")
					}
				}
				held = append(held, f)
			},
			"let go": func(t *rapid.T) {
				if len(held) == 0 {
					return
				}
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				b.letGo(held[i])
				held = append(held[:i], held[i+1:]...)
			},
			"": func(t *rapid.T) {
				kept := int64(0)
				for _, f := range b.free {
					kept += int64(len(f.bytes))
				}
				if kept != b.kept || kept > b.limit {
					t.Fatalf("%d bytes kept, %d counted, limit %d", kept, b.kept, b.limit)
				}
			},
		})
	})
}

// TestHistoryIsReadOnce: a consumer of all partitions of a topic reads a segment once, but for a few, though its answers have room for
// more of one partition than the cache holds segments.
func TestHistoryIsReadOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		const segments = 60
		size := 0
		for n := range uint64(segments) {
			var frames []frame
			for i := range int32(4) {
				frames = append(frames, frame{w.partition("events", i), []record.Batch{batchOf(n*4+uint64(i), 10, 100)}})
			}
			size = len(w.objects[w.produce(frames...)])
		}
		h := w.handler(func(c *Config, _ *Deps) {
			c.MaxChunk = int64(size) * 2
			c.ColdCacheBytes, c.ColdFlightBytes = int64(size)*6, int64(size)*6
		})
		offsets := [4]topic.Offset{}
		for offsets != [4]topic.Offset{segments * 10, segments * 10, segments * 10, segments * 10} {
			var asks []ask
			for i := range int32(4) {
				asks = append(asks, ask{"events", i, offsets[i], int32(size) * 8})
			}
			for _, p := range serve(t, h, w.request(12, 10, 1, int32(size)*8, asks...)).Topics[0].Partitions {
				for rest := p.RecordBatches; len(rest) > 0; {
					b, more, err := record.Split(rest)
					if err != nil {
						t.Fatal(err)
					}
					offsets[p.Partition] += topic.Offset(b.NumRecords())
					rest = more
				}
			}
		}
		// An answer may end between two partitions of a segment, which then can leave the cache before the next answer.
		if n := w.getCount(); n > segments*5/4 {
			t.Errorf("%d GETs for %d segments", n, segments)
		}
	})
}
