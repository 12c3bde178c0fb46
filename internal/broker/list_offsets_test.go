package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// offsets asks for partitions of orders at the timestamps given and prints code, offset, timestamp
// and epoch of each answer.
func (a *agent) offsets(version int16, name string, ts ...int64) string {
	a.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = name
	for i, at := range ts {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = int32(i), at
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return printOffsets(a.ask(req, version).(*kmsg.ListOffsetsResponse))
}

func printOffsets(resp *kmsg.ListOffsetsResponse) string {
	var got []string
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			got = append(got, fmt.Sprintf("%d:%d/%d@%d%v", p.ErrorCode, p.Offset, p.Timestamp, p.LeaderEpoch, p.OldStyleOffsets))
		}
	}
	return strings.Join(got, " ")
}

type refiner func(in segment.Location, ts int64) (topic.Offset, int64, error)

func (r refiner) Refine(_ context.Context, in segment.Location, ts int64) (topic.Offset, int64, error) {
	return r(in, ts)
}

// TestListOffsets asks for every kind of timestamp.
func TestListOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl("orders")
		at := func(i int32) topic.Partition { return topic.Partition{Topic: idOf("orders", 0), Index: i} }
		control.offset[at(0)] = segment.OffsetFound{Offset: 40, Timestamp: 900, In: &segment.Location{Base: 40}}
		control.offset[at(1)] = segment.OffsetFound{Offset: topic.NoOffset, Timestamp: 5}
		plain := newAgent(t, Default(), control, alone(), nil)
		var refine refiner = func(in segment.Location, ts int64) (topic.Offset, int64, error) { return in.Base + 3, ts + 1, nil }
		exact := newAgent(t, Default(), control, alone(), nil, func(d *Deps) { d.Refiner = refine })
		blind := newAgent(t, Default(), control, alone(), nil, func(d *Deps) {
			d.Refiner = refiner(func(segment.Location, int64) (topic.Offset, int64, error) { return 0, 0, errors.New("object gone") })
		})
		expect(t, "by time", plain.offsets(10, "orders", 850, 850), "0:40/900@3[] 0:-1/-1@-1[]")
		expect(t, "by time, exact", exact.offsets(10, "orders", 850, 850), "0:43/851@3[] 0:-1/-1@-1[]")
		expect(t, "by time, unreadable", blind.offsets(10, "orders", 850), "0:40/900@3[]")
		expect(t, "maximum", exact.offsets(7, "orders", -3), "0:43/901@3[]")
		control.offset[at(0)] = segment.OffsetFound{Offset: 40, Timestamp: 900}
		control.offset[at(1)] = segment.OffsetFound{Offset: 41, Timestamp: 900}
		expect(t, "latest, earliest", plain.offsets(10, "orders", -1, -2), "0:40/-1@3[] 0:41/-1@3[]")
		expect(t, "version 0", plain.offsets(0, "orders", -1), "0:-1/-1@-1[40]")
		expect(t, "version 1", plain.offsets(1, "orders", -1), "0:40/-1@-1[]")
		expect(t, "special", plain.offsets(10, "orders", -6, -7), "35:-1/-1@-1[] 35:-1/-1@-1[]")
		for ts, since := range map[int64]int16{-3: 7, -4: 8, -5: 9} {
			expect(t, fmt.Sprint("too early ", ts), plain.offsets(since-1, "orders", ts), "35:-1/-1@-1[]")
			if got := plain.offsets(since, "orders", ts); !strings.HasPrefix(got, "0:") {
				t.Errorf("timestamp %d in version %d: %s", ts, since, got)
			}
		}
		expect(t, "no such partition", plain.offsets(10, "orders", -1, -1, -1), "0:40/-1@3[] 0:41/-1@3[] 3:-1/-1@-1[]")
		expect(t, "no such topic", plain.offsets(10, "ghosts", -1), "3:-1/-1@-1[]")
		expect(t, "internal", plain.offsets(10, "__consumer_offsets", -1, -1), "0:0/-1@3[] 3:-1/-1@-1[]")
		expect(t, "internal by time", plain.offsets(10, "__consumer_offsets", 5), "0:-1/-1@-1[]")

		// A topic that was deleted and made again is found under its new id.
		control.mu.Lock()
		delete(control.topics, "orders")
		control.topics["orders"] = topic.Topic{Name: "orders", ID: idOf("orders", 1), Partitions: 1}
		control.mu.Unlock()
		control.offset[topic.Partition{Topic: idOf("orders", 1)}] = segment.OffsetFound{Offset: 0}
		expect(t, "created again", plain.offsets(10, "orders", -1), "0:0/-1@3[]")

		control.setAway(true)
		expect(t, "away", plain.offsets(10, "orders", -1), "5:-1/-1@-1[]")
		expect(t, "away, not known", plain.offsets(10, "views", -1), "5:-1/-1@-1[]")
	})
}

// TestListOffsetsTwice refuses a partition named twice, and epochs of another life.
func TestListOffsetsTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(t, Default(), newFakeControl("orders"), alone(), nil)
		req := kmsg.NewPtrListOffsetsRequest()
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = "orders"
		for _, p := range [][2]int32{{0, -1}, {0, -1}, {1, 2}} {
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.CurrentLeaderEpoch, rp.Timestamp = p[0], p[1], -1
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
		expect(t, "twice, old epoch", printOffsets(a.ask(req, 10).(*kmsg.ListOffsetsResponse)), "42:-1/-1@-1[] 42:-1/-1@-1[] 74:-1/-1@-1[]")
		req.Topics[0].Partitions[2].CurrentLeaderEpoch = 4
		req.Topics[0].Partitions = req.Topics[0].Partitions[1:]
		expect(t, "new epoch", printOffsets(a.ask(req, 10).(*kmsg.ListOffsetsResponse)), "0:0/-1@3[] 75:-1/-1@-1[]")
		req.Topics[0].Partitions[1].CurrentLeaderEpoch = 3
		expect(t, "this epoch", printOffsets(a.ask(req, 10).(*kmsg.ListOffsetsResponse)), "0:0/-1@3[] 0:0/-1@3[]")
	})
}
