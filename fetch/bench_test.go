package fetch

import (
	"fmt"
	"testing"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// BenchmarkFetch answers a mebibyte from the cache, the socket left out.
func BenchmarkFetch(b *testing.B) {
	for _, size := range []int{100, 16 << 10, 150 << 10} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			w := newWorld(b, "events")
			h := w.handler()
			var all []record.Batch
			for i := 0; i < 1<<20/size; i++ {
				all = append(all, batchOf(uint64(i%7), 1, size))
			}
			w.produce(frame{w.partition("events", 0), all})
			req := w.request(12, 1000, 1, 50<<20, ask{"events", 0, topic.Offset(0), 1 << 20})
			replies := make(chan wire.Reply, 1)
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			for b.Loop() {
				h.Serve(b.Context(), &wire.Request{Key: 1, Version: 12, Body: req}, func(r wire.Reply) { replies <- r })
				(<-replies).Done()
			}
		})
	}
}

// BenchmarkIdle looks at a thousand partitions that have nothing new.
func BenchmarkIdle(b *testing.B) {
	w := newWorld(b, "events")
	p := w.topics[0].ID
	var asks []ask
	for i := range int32(1000) {
		w.logs[topic.Partition{Topic: p, Index: i}] = &worldLog{}
		asks = append(asks, ask{"events", i, 0, 1 << 20})
	}
	h := w.handler()
	replies := make(chan wire.Reply, 1)
	req := w.request(12, 0, 0, 50<<20, asks...)
	b.ReportAllocs()
	for b.Loop() {
		h.Serve(b.Context(), &wire.Request{Key: 1, Version: 12, Body: req}, func(r wire.Reply) { replies <- r })
		(<-replies).Done()
	}
}
