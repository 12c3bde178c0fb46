package main

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record/recordtest"
)

// The times of ListOffsets that mean something else, with the version that brought them.
const (
	atLatest   = -1
	atEarliest = -2
	atMaxTime  = -3 // 7
	atLocal    = -4 // 8
	atTiered   = -5 // 9
)

// TestOffsetsAreSaidAsTheyAre asks where things are: by name, by time, by epoch, beyond the end.
func TestOffsetsAreSaidAsTheyAre(t *testing.T) {
	t.Parallel()
	l := startLands(t)
	t.Run("ListOffsets knows both ends everywhere", func(t *testing.T) { l.in(t).bothEnds() })
	t.Run("ListOffsets by time is exact where records may be read, and never too late elsewhere", func(t *testing.T) { l.in(t).byTime() })
	t.Run("ListOffsets refuses what a version does not know", func(t *testing.T) { l.in(t).timesRefused() })
	t.Run("OffsetForLeaderEpoch tells the end of the only epoch", func(t *testing.T) { l.in(t).leaderEpoch() })
	t.Run("out of range is said only of what is out of range", func(t *testing.T) { l.in(t).outOfRange() })
	t.Run("a fetch at the end waits, and wakes with records", func(t *testing.T) { l.in(t).waitsAtTheEnd() })
	t.Run("a batch that holds the offset comes whole", func(t *testing.T) { l.in(t).wholeBatch() })
}

// listOffset asks for one partition's offset by time.
func listOffset(c *caller, version int16, topic string, at int64) kmsg.ListOffsetsResponseTopicPartition {
	c.t.Helper()
	answer := call[*kmsg.ListOffsetsResponse](c, version, listOffsets(topic, at))
	return answer.Topics[0].Partitions[0]
}

func listOffsets(topic string, times ...int64) *kmsg.ListOffsetsRequest {
	request := kmsg.NewPtrListOffsetsRequest()
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for _, at := range times {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp, p.CurrentLeaderEpoch = at, -1
		t.Partitions = append(t.Partitions, p)
	}
	request.Topics = append(request.Topics, t)
	return request
}

func (l *lands) bothEnds() {
	l.create("ends", 1)
	for _, name := range []string{"prod-1", "analytics-1"} {
		for _, at := range []int64{atEarliest, atLatest} {
			if p := listOffset(l.dial(name), 7, "ends", at); p.ErrorCode != 0 || p.Offset != 0 || p.Timestamp != -1 {
				l.t.Errorf("%s: an empty partition has %d at %d (code %d)", name, at, p.Offset, p.ErrorCode)
			}
		}
		if p := listOffset(l.dial(name), 7, "ends", 0); p.ErrorCode != 0 || p.Offset != -1 {
			l.t.Errorf("%s: an empty partition has a record at %d (code %d)", name, p.Offset, p.ErrorCode)
		}
	}
	l.dial("prod-2").stored("ends", recordtest.Batch(recordtest.Options{Records: 5}))
	for _, name := range []string{"prod-1", "prod-2", "analytics-1", "analytics-2"} {
		c := l.dial(name)
		for at, want := range map[int64]int64{atEarliest: 0, atLocal: 0, atLatest: 5, atTiered: -1} {
			if p := listOffset(c, 9, "ends", at); p.ErrorCode != 0 || p.Offset != want {
				l.t.Errorf("%s: ListOffsets(%d) is %d, code %d, want %d", name, at, p.Offset, p.ErrorCode, want)
			}
		}
		if p := listOffset(c, 1, "ends", atLatest); p.ErrorCode != 0 || p.Offset != 5 {
			l.t.Errorf("%s: version 1 says %d, code %d, want 5", name, p.Offset, p.ErrorCode)
		}
	}
}

func (l *lands) byTime() {
	l.create("times", 1)
	c := l.dial("prod-1")
	// Offsets 0 to 9 at 1000, 1010 … 1090; 10 to 14 at 2000 … 2040, compressed; 15 late, of 1500.
	c.stored("times", recordtest.Batch(recordtest.Options{Records: 10, Time: 1000, Step: 10}))
	c.stored("times", recordtest.Batch(recordtest.Options{Records: 5, Size: 100, Codec: 4, Time: 2000, Step: 10}))
	c.stored("times", recordtest.Batch(recordtest.Options{Time: 1500}))
	for _, q := range []struct{ at, offset, time int64 }{
		{0, 0, 1000}, {1000, 0, 1000}, {1001, 1, 1010}, {1090, 9, 1090}, {1091, 10, 2000}, {2031, 14, 2040}, {2040, 14, 2040}, {2041, -1, -1},
	} {
		exact := listOffset(l.dial("analytics-1"), 7, "times", q.at)
		if exact.ErrorCode != 0 || exact.Offset != q.offset || exact.Timestamp != q.time {
			l.t.Errorf("analytics: first record from %d on is %d of %d (code %d), want %d of %d", q.at, exact.Offset, exact.Timestamp, exact.ErrorCode, q.offset, q.time)
		}
		rough := listOffset(l.dial("prod-2"), 7, "times", q.at)
		if rough.ErrorCode != 0 || (q.offset >= 0 && (rough.Offset < 0 || rough.Offset > q.offset)) || (q.offset < 0 && rough.Offset >= 0) {
			l.t.Errorf("prod: first record from %d on is %d (code %d), which is later than %d", q.at, rough.Offset, rough.ErrorCode, q.offset)
		}
	}
	if p := listOffset(l.dial("analytics-2"), 7, "times", atMaxTime); p.ErrorCode != 0 || p.Offset != 14 || p.Timestamp != 2040 {
		l.t.Errorf("analytics: the record of the greatest time is %d of %d (code %d), want 14 of 2040", p.Offset, p.Timestamp, p.ErrorCode)
	}
	if p := listOffset(l.dial("prod-1"), 7, "times", atMaxTime); p.ErrorCode != 0 || p.Offset < 0 || p.Offset > 14 {
		l.t.Errorf("prod: the record of the greatest time is %d (code %d), want one up to 14", p.Offset, p.ErrorCode)
	}
}

func (l *lands) timesRefused() {
	l.create("refused-times", 1)
	c := l.dial("analytics-1")
	for _, q := range []struct {
		version int16
		at      int64
	}{{6, atMaxTime}, {7, atLocal}, {8, atTiered}, {10, -99}} {
		if p := listOffset(c, q.version, "refused-times", q.at); p.ErrorCode != kerr.UnsupportedVersion.Code {
			l.t.Errorf("version %d, time %d: code %d, want 35", q.version, q.at, p.ErrorCode)
		}
	}
	twice := call[*kmsg.ListOffsetsResponse](c, 7, listOffsets("refused-times", atLatest, atLatest))
	for _, p := range twice.Topics[0].Partitions {
		if p.ErrorCode != kerr.InvalidRequest.Code {
			l.t.Errorf("a partition asked for twice: code %d, want 42", p.ErrorCode)
		}
	}
	if p := listOffset(c, 7, "no-such-topic", atLatest); p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		l.t.Errorf("an unknown topic: code %d, want 3", p.ErrorCode)
	}
	for epoch, want := range map[int32]int16{0: kerr.FencedLeaderEpoch.Code, 1: 0, 2: kerr.UnknownLeaderEpoch.Code} {
		request := listOffsets("refused-times", atLatest)
		request.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
		if p := call[*kmsg.ListOffsetsResponse](c, 7, request).Topics[0].Partitions[0]; p.ErrorCode != want {
			l.t.Errorf("leader epoch %d: code %d, want %d", epoch, p.ErrorCode, want)
		}
	}
}

func (l *lands) leaderEpoch() {
	l.create("epochs", 1)
	l.dial("prod-1").stored("epochs", recordtest.Batch(recordtest.Options{Records: 3}))
	for _, name := range []string{"prod-2", "analytics-1"} {
		for _, q := range []struct {
			current, asked int32
			code           int16
			end            int64
		}{
			{-1, 1, 0, 3}, {1, 1, 0, 3}, {0, 1, kerr.FencedLeaderEpoch.Code, -1}, {2, 1, kerr.UnknownLeaderEpoch.Code, -1},
		} {
			request := kmsg.NewPtrOffsetForLeaderEpochRequest()
			request.ReplicaID = -1
			t := kmsg.NewOffsetForLeaderEpochRequestTopic()
			t.Topic = "epochs"
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.CurrentLeaderEpoch, p.LeaderEpoch = q.current, q.asked
			t.Partitions = append(t.Partitions, p)
			request.Topics = append(request.Topics, t)
			got := call[*kmsg.OffsetForLeaderEpochResponse](l.dial(name), 4, request).Topics[0].Partitions[0]
			if got.ErrorCode != q.code || got.EndOffset != q.end {
				l.t.Errorf("%s: epoch %d, current %d: code %d, end %d, want code %d, end %d", name, q.asked, q.current, got.ErrorCode, got.EndOffset, q.code, q.end)
			}
		}
	}
}

func (l *lands) outOfRange() {
	l.create("range", 1)
	l.dial("prod-1").stored("range", recordtest.Batch(recordtest.Options{Records: 4}))
	for _, name := range []string{"analytics-1", "analytics-2"} {
		for offset := int64(-1); offset <= 6; offset++ {
			want := int16(0)
			if offset < 0 || offset > 4 {
				want = kerr.OffsetOutOfRange.Code
			}
			request := fetchRequest("range", 0, offset)
			if offset == 4 {
				request.MaxWaitMillis = 1 // nothing is there, and nothing will come
			}
			p := l.dial(name).fetch(11, request)[0]
			if p.ErrorCode != want {
				l.t.Errorf("%s: offset %d of [0,4]: code %d, want %d", name, offset, p.ErrorCode, want)
			}
			if want == 0 && (p.HighWatermark != 4 || p.LastStableOffset != 4 || p.LogStartOffset != 0) {
				l.t.Errorf("%s: offset %d: high watermark %d, last stable offset %d, log start %d, want 4, 4, 0", name, offset, p.HighWatermark, p.LastStableOffset, p.LogStartOffset)
			}
			if p.RecordBatches == nil {
				l.t.Errorf("%s: offset %d: records are null, which some clients cannot read", name, offset)
			}
		}
	}
}

func (l *lands) waitsAtTheEnd() {
	l.create("tail", 1)
	waiting := map[string]*caller{}
	for _, name := range []string{"analytics-1", "analytics-2"} {
		waiting[name] = l.dial(name)
		waiting[name].send(11, fetchRequest("tail", 0, 0)) // waits for longer than the test does
	}
	for i := range 3 {
		l.dial("prod-1").stored("tail", recordtest.Batch(recordtest.Options{Values: []string{fmt.Sprint(i)}}))
		for name, c := range waiting {
			p := fetched(l.t, receive[*kmsg.FetchResponse](c))[0]
			batches := batchesOf(l.t, p.RecordBatches)
			if p.ErrorCode != 0 || len(batches) != 1 || batches[0].BaseOffset() != int64(i) {
				l.t.Errorf("%s: woke with code %d and %d batches", name, p.ErrorCode, len(batches))
			}
			c.send(11, fetchRequest("tail", 0, int64(i)+1))
		}
	}
}

func (l *lands) wholeBatch() {
	l.create("whole", 1)
	c := l.dial("prod-1")
	c.stored("whole", recordtest.Batch(recordtest.Options{Records: 10, Size: 50, Codec: 3}))
	c.stored("whole", recordtest.Batch(recordtest.Options{Records: 10, Size: 50}))
	for offset := range int64(20) {
		p := l.dial("analytics-1").fetch(11, fetchRequest("whole", 0, offset))[0]
		batches := batchesOf(l.t, p.RecordBatches)
		if p.ErrorCode != 0 || len(batches) == 0 || batches[0].BaseOffset() != offset/10*10 || batches[0].NumRecords() != 10 {
			l.t.Errorf("offset %d: code %d, %d batches, the first does not hold it whole", offset, p.ErrorCode, len(batches))
		}
	}
}
