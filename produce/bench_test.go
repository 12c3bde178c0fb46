package produce

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/record/recordtest"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// nowhere is an Uploader that keeps nothing.
type nowhere struct{}

func (nowhere) PutNew(context.Context, string, [][]byte, uint32) error { return nil }

// BenchmarkServe measures a request's whole way but for socket and bucket: what produce adds to
// receiving and sending the bytes.
func BenchmarkServe(b *testing.B) {
	for _, size := range []int{100, 16 << 10, 150 << 10} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			seq := newSequencer()
			runner, err := NewRunner(Default(), Deps{Sequencer: seq, Uploader: func(context.Context, string) (Uploader, error) { return nowhere{}, nil }})
			if err != nil {
				b.Fatal(err)
			}
			h := NewHandler(&topics{known: map[string]topic.Topic{"events": aTopic("events", 1)}}, runner)
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- runner.Run(ctx) }()
			records := recordtest.Batch(recordtest.Options{Size: size, Time: time.Now().UnixMilli()})
			b.SetBytes(int64(len(records)))
			b.ReportAllocs()
			replies := make(chan wire.Reply, 256)
			reply := func(p wire.Reply) { replies <- p }
			go func() {
				for i := range b.N {
					req := request(-1, part{"events", int32(i % 4), records})
					h.Serve(ctx, &wire.Request{Version: 9, Body: req}, reply)
				}
			}()
			for range b.N {
				<-replies
			}
			cancel()
			<-ended
		})
	}
}
