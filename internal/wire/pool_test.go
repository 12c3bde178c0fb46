package wire

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/internal/wire/wiretest"
)

// TestFramesFitTheirClass: a frame holds what it was asked for, is at most a quarter larger, and every request of its
// class fits it.
func TestFramesFitTheirClass(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, size int) {
		class, room := classOfFrame(size)
		switch {
		case size < 1<<frameMinBits || size > 1<<frameMaxBits:
			if class != noClass || room != size {
				t.Fatalf("%d bytes: class %d of %d bytes, want none", size, class, room)
			}
		case class < 0 || class >= frameClasses || room < size || room > size+size/frameSteps:
			t.Fatalf("%d bytes: class %d of %d bytes", size, class, room)
		default:
			if c, r := classOfFrame(room); c != class || r != room {
				t.Fatalf("%d bytes: class %d of %d bytes, whose own class is %d of %d", size, class, room, c, r)
			}
		}
	}
	for bits := 0; bits < 27; bits++ {
		for near := -2; near <= 2; near++ {
			check(t, max(0, 1<<bits+near))
		}
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.IntRange(0, 1<<25).Draw(t, "size")) })
}

// TestAFrameIsGivenBackOnce: the records of a Produce request are what the client sent until its answer is written and the
// last Hold released, and nobody's after that. newRig has the pool overwrite what is given back.
func TestAFrameIsGivenBackOnce(t *testing.T) {
	for _, size := range []int{1 << 10, 100 << 10, 5 << 20, 17 << 20} { // made anew, twice of the pool, made anew
		synctest.Test(t, func(t *testing.T) {
			type handed struct {
				records []byte
				release func()
			}
			requests := make(chan handed, 1)
			p := wiretest.NewPipes()
			newRig(t, Default(), p, ProduceAPI(HandlerFunc(func(_ context.Context, r *Request, reply func(Reply)) {
				requests <- handed{r.Body.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records, r.Hold()}
				reply(Reply{Body: kmsg.NewPtrProduceResponse()})
			})))
			want := bytes.Repeat([]byte{7}, size)
			c := p.Dial()
			mustSend(t, c, request(produceRequest(want), 9, 1))
			h := <-requests
			if _, _, err := answer(c); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if !bytes.Equal(h.records, want) {
				t.Fatalf("%d bytes: the records changed while they were held", size)
			}
			h.release()
			h.release() // does nothing
			synctest.Wait()
			if !bytes.Equal(h.records, bytes.Repeat([]byte{poisoned}, size)) {
				t.Fatalf("%d bytes: the frame was not given back after the last hold", size)
			}
		})
	}
}

func produceRequest(records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "t"
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = records
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	return req
}

// TestOtherFramesStay: what handlers keep of requests other than Produce is theirs.
func TestOtherFramesStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := make(chan []byte, 1)
		p := wiretest.NewPipes()
		newRig(t, Default(), p, API{Key: int16(kmsg.JoinGroup), Min: 0, Max: 9, Handler: HandlerFunc(
			func(_ context.Context, r *Request, reply func(Reply)) {
				kept <- r.Body.(*kmsg.JoinGroupRequest).Protocols[0].Metadata
				reply(Reply{Body: kmsg.NewPtrJoinGroupResponse()})
			})})
		join := kmsg.NewPtrJoinGroupRequest()
		want := bytes.Repeat([]byte{7}, 10<<10)
		join.Protocols = append(join.Protocols, kmsg.JoinGroupRequestProtocol{Name: "range", Metadata: want})
		c := p.Dial()
		mustSend(t, c, request(join, 5, 1))
		if _, _, err := answer(c); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := <-kept; !bytes.Equal(got, want) {
			t.Fatal("the metadata of a member changed after its request was answered")
		}
	})
}
