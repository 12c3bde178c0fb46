package fetch

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// FuzzFetch finds no Fetch request, alone or as the one that goes on with a session, that is not answered with what
// its version demands. What a client waits for passes in virtual time.
func FuzzFetch(f *testing.F) {
	w := newWorld(f, "events", "other")
	for version := wire.FetchMin; version <= wire.FetchMax; version++ {
		for _, epoch := range []int32{epochFinal, epochInitial, 1} {
			req := w.request(version, 500, 1, 1<<20, ask{"events", 0, 0, 1 << 20}, ask{"events", 1, 3, 100}, ask{"other", 0, 7, 0}, ask{"none", 0, 0, 1})
			req.SessionEpoch = epoch
			f.Add(version, req.AppendTo(nil), []byte{})
			next := kmsg.NewPtrFetchRequest()
			next.Version, next.SessionEpoch = version, epoch+1
			f.Add(version, req.AppendTo(nil), next.AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, version int16, first, second []byte) {
		if version < wire.FetchMin || version > wire.FetchMax {
			return
		}
		inBubble(t, func(t *testing.T) {
			w := newWorld(t, "events", "other")
			w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(1, 3, 100), batchOf(2, 2, 10)}})
			h := w.handler()
			for _, body := range [][]byte{first, second} {
				req := kmsg.NewPtrFetchRequest()
				req.Version = version
				if req.ReadFrom(body) != nil || partitionsOf(req) > 1000 {
					return
				}
				serve(t, h, req)
			}
		})
	})
}
