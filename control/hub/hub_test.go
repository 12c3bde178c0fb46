package hub

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/control/hub/hubtest"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

func part(i int) topic.Partition { return topic.Partition{Topic: topic.ID{1}, Index: int32(i)} }

// placement is the event of records placed from base to end, one location a record.
func placement(p topic.Partition, base, end topic.Offset) segment.Event {
	e := segment.Event{Partition: p, HighWatermark: end}
	for o := base; o < end; o++ {
		e.Locations = append(e.Locations, segment.Location{Partition: p, Base: o, Records: 1})
	}
	return e
}

// TestWatchLosesNothing interleaves placements with joins, reads, removals and overflows, in any order
// in which the state's lock lets them happen. Whatever a watch has read then reaches to the end.
func TestWatchLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := New(func() {})
		ends := map[int]topic.Offset{}
		w := h.Open(rapid.IntRange(1, 20).Draw(t, "limit"))
		defer w.Close()
		known := map[int]*hubtest.Reader{}
		drain := func(most int) int {
			events, err := w.Take(most)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if r := known[int(e.Partition.Index)]; r != nil {
					r.Read(t, e)
				}
			}
			return len(events)
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			i := rapid.IntRange(0, 3).Draw(t, "partition")
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1, 2:
				n := topic.Offset(rapid.IntRange(1, 4).Draw(t, "records"))
				h.Publish([]segment.Event{placement(part(i), ends[i], ends[i]+n)})
				ends[i] += n
			case 3:
				if known[i] == nil {
					w.add(segment.Event{Partition: part(i), HighWatermark: ends[i]})
					known[i] = &hubtest.Reader{}
				}
			case 4:
				drain(rapid.IntRange(1, 10).Draw(t, "most"))
			case 5:
				w.Remove(part(i))
				delete(known, i)
			}
		}
		for drain(1000) > 0 {
		}
		for i, r := range known {
			if !r.Told || r.End != ends[i] {
				t.Fatalf("partition %d ends at %d, the watch knows %d (told %v)", i, ends[i], r.End, r.Told)
			}
		}
	})
}

// TestOverflowResets: a watch that is not read holds a bounded queue, and is told the ends once.
func TestOverflowResets(t *testing.T) {
	h := New(func() {})
	w := h.Open(10)
	w.add(segment.Event{Partition: part(0)})
	w.add(segment.Event{Partition: part(1)})
	for o := range topic.Offset(1000) {
		h.Publish([]segment.Event{placement(part(0), o, o+1)})
	}
	if len(w.queue) > 10 {
		t.Errorf("%d events wait", len(w.queue))
	}
	r, resets := hubtest.Reader{}, 0
	for {
		events, err := w.Take(4096)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			if e.Reset {
				resets++
			}
			if e.Partition == part(0) {
				r.Read(t, e)
			}
		}
	}
	if r.End != 1000 || r.Resets != 1 || resets != 2 { // the other partition's first event was queued too
		t.Errorf("known up to %d after %d resets of %d", r.End, r.Resets, resets)
	}
}

func TestRemovedTopicEndsItsWatches(t *testing.T) {
	h := New(func() {})
	w := h.Open(10)
	w.add(segment.Event{Partition: part(0)})
	h.Publish([]segment.Event{{Partition: part(0), Removed: true}})
	if w.Watching() != 0 || w.Watches(part(0)) || len(h.watches) != 0 {
		t.Error("still watched")
	}
	if events, err := w.Take(10); err != nil || len(events) != 2 || !events[1].Removed {
		t.Errorf("told %+v %v", events, err)
	}
}

func TestClosedWatchLeavesNothing(t *testing.T) {
	h := New(func() {})
	w := h.Open(10)
	w.add(segment.Event{Partition: part(0)})
	w.Close()
	w.add(segment.Event{Partition: part(1)}) // its stream was still at it
	if len(h.watches) != 0 || len(h.all) != 0 {
		t.Errorf("%d partitions, %d watches left", len(h.watches), len(h.all))
	}
}

func TestReplacedStateEndsWatches(t *testing.T) {
	h := New(func() {})
	w := h.Open(10)
	h.Lose()
	<-w.wake
	if _, err := w.Take(10); err == nil {
		t.Error("the watch goes on")
	}
}
