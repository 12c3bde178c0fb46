package fetch

import (
	"math"
	"sort"
	"time"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// placed is a location and when this agent learned it.
type placed struct {
	segment.Location
	at time.Duration
}

// tail is what the watch has told of one partition: its ends, and where its latest records lie.
//
// The ends only ever move up, whichever of watch and plan speaks, and in whichever order their
// news arrives; none are known before the first confirmed read (I9). recent is contiguous: a
// location that does not continue it begins it anew.
type tail struct {
	confirmed bool
	live      bool // the running stream has told of the partition since it began
	logStart  topic.Offset
	high      topic.Offset
	recent    []placed // oldest first
}

// raise takes in ends that a confirmed read or the watch has told.
func (t *tail) raise(logStart, high topic.Offset) {
	if !t.confirmed {
		t.confirmed, t.logStart, t.high = true, logStart, high
		return
	}
	t.logStart, t.high = max(t.logStart, logStart), max(t.high, high)
}

// event takes in news of the partition. It returns the bytes newly known beyond the high
// watermark as it was, and how many locations recent has grown by (below 0: shrunk).
func (t *tail) event(now time.Duration, ev *segment.Event, keep int) (bytes int64, grown int) {
	before, high := len(t.recent), t.high
	first := !t.confirmed
	t.raise(ev.LogStart, ev.HighWatermark)
	t.live = true
	if ev.Reset {
		t.recent = nil
	}
	for i := range ev.Locations {
		l := &ev.Locations[i]
		if l.Records == 0 || l.Base < 0 {
			continue
		}
		if n := len(t.recent); n > 0 {
			switch end := t.recent[n-1].End(); {
			case l.End() <= end:
				continue // told already
			case l.Base != end:
				t.recent = nil
			}
		}
		t.recent = appendPlaced(t.recent, l, now)
		t.high = max(t.high, l.End())
		if first || l.Base >= high {
			bytes += int64(l.Length)
		}
	}
	if over := len(t.recent) - keep; over > 0 {
		t.recent = t.recent[over:]
	}
	return bytes, len(t.recent) - before
}

// mostMerged bounds a location made of several, in bytes.
const mostMerged = 4 << 20

// appendPlaced appends a location that continues run. One whose bytes, too, follow those of
// the last is merged into it: the batches of an idempotent producer are placed one by one, and
// would otherwise each be looked up and asked for alone.
func appendPlaced(run []placed, l *segment.Location, now time.Duration) []placed {
	if n := len(run); n > 0 {
		last := &run[n-1]
		if last.Object == l.Object && last.Size == l.Size && last.Stamped == l.Stamped && last.at == now &&
			uint64(last.Position)+uint64(last.Length) == uint64(l.Position) &&
			uint64(last.Length)+uint64(l.Length) <= mostMerged && uint64(last.Records)+uint64(l.Records) <= math.MaxInt32 {
			last.Length += l.Length
			last.Records += l.Records
			last.MaxTimestamp = max(last.MaxTimestamp, l.MaxTimestamp)
			return run
		}
	}
	return append(run, placed{Location: *l, at: now})
}

// expire drops locations older than life and returns how many.
func (t *tail) expire(now, life time.Duration) int {
	n := 0
	for n < len(t.recent) && now-t.recent[n].at >= life {
		n++
	}
	t.recent = t.recent[n:]
	if len(t.recent) == 0 {
		t.recent = nil
	}
	return n
}

// find returns the recent location that holds an offset.
func (t *tail) find(offset topic.Offset) *segment.Location {
	return findPlaced(t.recent, offset)
}

// findPlaced searches contiguous locations for the one that holds an offset.
func findPlaced(run []placed, offset topic.Offset) *segment.Location {
	i := sort.Search(len(run), func(i int) bool { return run[i].End() > offset })
	if i == len(run) || run[i].Base > offset {
		return nil
	}
	return &run[i].Location
}
