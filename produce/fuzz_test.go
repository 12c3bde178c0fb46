package produce

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record/recordtest"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// FuzzProduce finds no Produce request that is not answered once, each of its partitions with a code or an offset, and
// in a form that its version can say.
func FuzzProduce(f *testing.F) {
	good := recordtest.Batch(recordtest.Options{Records: 3, Size: 20, Idempotent: true, ProducerID: 7})
	for version := wire.ProduceServeMin; version <= wire.ProduceMax; version++ {
		req := request(-1, part{"events", 0, good}, part{"events", 9, good}, part{"stamped", 1, good[:50]}, part{"none", 0, nil}, part{"__consumer_offsets", 0, good})
		f.Add(version, false, req.AppendTo(nil))
		req.Version = version
		f.Add(version, true, req.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, version int16, deep bool, body []byte) {
		req := kmsg.NewPtrProduceRequest()
		if req.Version = version; version < wire.ProduceServeMin || version > wire.ProduceMax || req.ReadFrom(body) != nil {
			return
		}
		asked := 0
		for _, t := range req.Topics {
			asked += len(t.Partitions)
		}
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Config) {
				if deep {
					c.Validation = "deep"
				}
			})
			defer r.stop()
			acks := req.Acks
			replies := r.serve(req)
			var reply wire.Reply
			select {
			case reply = <-replies:
			case <-time.After(10 * time.Minute): // virtual
				t.Fatal("never answered")
			}
			if reply.Close || acks == 0 {
				return
			}
			resp, ok := reply.Body.(*kmsg.ProduceResponse)
			if !ok {
				t.Fatalf("answered with %+v", reply)
			}
			got := 0
			for _, rt := range resp.Topics {
				for _, p := range rt.Partitions {
					if got++; p.ErrorCode == 0 != (p.BaseOffset >= 0) {
						t.Errorf("%s/%d: code %d, offset %d", rt.Topic, p.Partition, p.ErrorCode, p.BaseOffset)
					}
				}
			}
			if got != asked {
				t.Errorf("%d partitions were asked, %d answered", asked, got)
			}
			resp.Version = version
			if err := resp.ReadFrom(resp.AppendTo(nil)); err != nil {
				t.Errorf("version %d cannot say it: %v", version, err)
			}
		})
	})
}
