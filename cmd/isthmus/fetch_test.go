package main

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record/recordtest"
)

// TestFetchKeepsKafkasRules reads with requests as clients of every age send them.
func TestFetchKeepsKafkasRules(t *testing.T) {
	t.Parallel()
	l := startLands(t)
	t.Run("a session answers only what has changed", func(t *testing.T) { l.in(t).session() })
	t.Run("a session that is unknown or out of step is said to be so", func(t *testing.T) { l.in(t).sessionFaults() })
	t.Run("max bytes never leave a reader without its first batch", func(t *testing.T) { l.in(t).maxBytes() })
	t.Run("min bytes are waited for", func(t *testing.T) { l.in(t).minBytes() })
	t.Run("topics are fetched by id from version 13 on", func(t *testing.T) { l.in(t).byTopicID() })
	t.Run("a topic deleted and created again is another one", func(t *testing.T) { l.in(t).recreated() })
	t.Run("an unknown topic, partition or epoch spoils nobody else's answer", func(t *testing.T) { l.in(t).eachForItself() })
	t.Run("every version reads the same records", func(t *testing.T) { l.in(t).everyVersion() })
}

// fetchOf is a fetch of several partitions of a topic, which waits only as long as it is told.
func fetchOf(waitMillis int32, topic string, partitions ...kmsg.FetchRequestTopicPartition) *kmsg.FetchRequest {
	request := fetchRequest(topic, 0, 0)
	request.MaxWaitMillis = waitMillis
	request.Topics[0].Partitions = partitions
	return request
}

func (l *lands) session() {
	l.create("session", 3)
	c, prod := l.dial("analytics-1"), l.dial("prod-1")
	first := fetchOf(1, "session", fetchPartition(0, 0), fetchPartition(1, 0), fetchPartition(2, 0))
	first.SessionEpoch = 0 // begins one
	begun := call[*kmsg.FetchResponse](c, 11, first)
	if got := len(fetched(l.t, begun)); begun.SessionID == 0 || got != 3 {
		l.t.Fatalf("session %d begins with %d partitions, want 3", begun.SessionID, got)
	}
	epoch := int32(1)
	next := func(wait int32, changed ...kmsg.FetchRequestTopicPartition) []kmsg.FetchResponseTopicPartition {
		l.t.Helper()
		request := fetchOf(wait, "session", changed...)
		if len(changed) == 0 {
			request.Topics = nil
		}
		request.SessionID, request.SessionEpoch = begun.SessionID, epoch
		epoch++
		return c.fetch(11, request)
	}
	if got := next(1); len(got) != 0 {
		l.t.Errorf("nothing has changed, yet %d partitions are answered", len(got))
	}
	prod.produce(9, "session", recordtest.Batch(recordtest.Options{Records: 2}))
	if got := next(fetchRequest("", 0, 0).MaxWaitMillis); len(got) != 1 || got[0].Partition != 0 || len(got[0].RecordBatches) == 0 {
		l.t.Fatalf("partition 0 has records, answered are %+v", got)
	}
	if got := next(1, fetchPartition(0, 2)); len(got) != 0 {
		l.t.Errorf("the reader went on to the end, yet %d partitions are answered", len(got))
	}
	forget := fetchOf(1, "session")
	forget.Topics, forget.SessionID, forget.SessionEpoch = nil, begun.SessionID, epoch
	t := kmsg.NewFetchRequestForgottenTopic()
	t.Topic, t.Partitions = "session", []int32{0}
	forget.ForgottenTopics = append(forget.ForgottenTopics, t)
	epoch++
	c.fetch(11, forget)
	b := recordtest.Batch(recordtest.Options{})
	prod.produce(9, "session", b, b)
	if got := next(fetchRequest("", 0, 0).MaxWaitMillis); len(got) != 1 || got[0].Partition != 1 {
		l.t.Errorf("partition 0 was forgotten and 1 has records, answered are %+v", got)
	}
}

func (l *lands) sessionFaults() {
	l.create("no-session", 1)
	c := l.dial("analytics-1")
	first := fetchOf(1, "no-session", fetchPartition(0, 0))
	first.SessionEpoch = 0
	id := call[*kmsg.FetchResponse](c, 11, first).SessionID
	for _, q := range []struct {
		id, epoch int32
		code      int16
	}{{id, 7, kerr.InvalidFetchSessionEpoch.Code}, {id + 1, 1, kerr.FetchSessionIDNotFound.Code}, {id, 1, 0}, {id, 1, kerr.InvalidFetchSessionEpoch.Code}} {
		request := fetchOf(1, "no-session")
		request.Topics, request.SessionID, request.SessionEpoch = nil, q.id, q.epoch
		if got := call[*kmsg.FetchResponse](c, 11, request); got.ErrorCode != q.code || len(got.Topics) != 0 {
			l.t.Errorf("session %d epoch %d: code %d, want %d", q.id, q.epoch, got.ErrorCode, q.code)
		}
	}
	other := fetchOf(1, "no-session") // sessions are an agent's own
	other.Topics, other.SessionID, other.SessionEpoch = nil, id, 2
	if got := call[*kmsg.FetchResponse](l.dial("analytics-2"), 11, other); got.ErrorCode != kerr.FetchSessionIDNotFound.Code {
		l.t.Errorf("another agent's session: code %d, want 70", got.ErrorCode)
	}
}

func (l *lands) maxBytes() {
	l.create("sizes", 2)
	b := recordtest.Batch(recordtest.Options{Size: 10_000})
	for range 3 {
		l.dial("prod-1").produce(9, "sizes", b, b)
	}
	count := func(most, mostPartition int32) (batches [2]int) {
		p0, p1 := fetchPartition(0, 0), fetchPartition(1, 0)
		p0.PartitionMaxBytes, p1.PartitionMaxBytes = mostPartition, mostPartition
		request := fetchOf(fetchRequest("", 0, 0).MaxWaitMillis, "sizes", p0, p1)
		request.MaxBytes = most
		for _, p := range l.dial("analytics-1").fetch(11, request) {
			if p.ErrorCode != 0 {
				l.t.Errorf("partition %d: code %d", p.Partition, p.ErrorCode)
			}
			batches[p.Partition] = len(batchesOf(l.t, p.RecordBatches))
		}
		return batches
	}
	// Until the agent knows of all batches it may answer with fewer.
	eventually(l.t, "all batches are read", func() bool { return count(1<<20, 1<<20) == [2]int{3, 3} })
	size := int32(len(b))
	for _, q := range []struct {
		most, mostPartition int32
		want                [2]int
	}{
		{1, 1 << 20, [2]int{1, 0}},              // less than a batch: the first partition gets one whole
		{1 << 20, 1, [2]int{1, 0}},              // likewise
		{1 << 20, 2 * size, [2]int{2, 2}},       // each within its own bound
		{3 * size, 1 << 20, [2]int{1, 1}},       // both in turn, as far as it goes for both
		{4*size + 1, 3 * size, [2]int{2, 2}},    // likewise
		{1 << 20, 2*size + 5000, [2]int{2, 2}},  // never part of a batch
		{3*size + 5000, 3 * size, [2]int{1, 1}}, // likewise
	} {
		if got := count(q.most, q.mostPartition); got != q.want {
			l.t.Errorf("max bytes %d, per partition %d, batches of %d: %v batches, want %v", q.most, q.mostPartition, size, got, q.want)
		}
	}
}

func (l *lands) minBytes() {
	l.create("enough", 2)
	c, prod := l.dial("analytics-2"), l.dial("prod-2")
	request := fetchOf(fetchRequest("", 0, 0).MaxWaitMillis, "enough", fetchPartition(0, 0), fetchPartition(1, 0))
	request.MinBytes = 25_000
	c.send(11, request) // would wait for longer than the test does
	b := recordtest.Batch(recordtest.Options{Size: 10_000})
	prod.produce(9, "enough", b)
	prod.produce(9, "enough", b, b)
	bytes := 0
	for _, p := range fetched(l.t, receive[*kmsg.FetchResponse](c)) {
		bytes += len(p.RecordBatches)
	}
	if bytes < 25_000 {
		l.t.Errorf("answered with %d bytes, want at least 25000", bytes)
	}
	hasty := fetchOf(1, "enough", fetchPartition(0, 0))
	hasty.MinBytes = 1 << 20
	if p := l.dial("analytics-1").fetch(11, hasty)[0]; len(p.RecordBatches) == 0 {
		l.t.Error("the time was up before there were enough bytes: what is there was not answered")
	}
}

// topicID is a topic's id.
func (l *lands) topicID(name string) [16]byte {
	l.t.Helper()
	request := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &name
	request.Topics = append(request.Topics, t)
	answer := call[*kmsg.MetadataResponse](l.dial("analytics-1"), 12, request)
	if answer.Topics[0].ErrorCode != 0 {
		l.t.Fatalf("metadata of %s: code %d", name, answer.Topics[0].ErrorCode)
	}
	return answer.Topics[0].TopicID
}

// byID asks for a topic by its id.
func byID(id [16]byte, waitMillis int32) *kmsg.FetchRequest {
	request := fetchOf(waitMillis, "", fetchPartition(0, 0))
	request.Topics[0].TopicID = id
	return request
}

func (l *lands) byTopicID() {
	l.create("by-id", 1)
	l.dial("prod-1").stored("by-id", recordtest.Batch(recordtest.Options{Records: 3}))
	id, c := l.topicID("by-id"), l.dial("analytics-1")
	for version := int16(13); version <= 17; version++ {
		if p := c.fetch(version, byID(id, fetchRequest("", 0, 0).MaxWaitMillis))[0]; p.ErrorCode != 0 || len(batchesOf(l.t, p.RecordBatches)) != 1 {
			l.t.Errorf("version %d: code %d, %d bytes", version, p.ErrorCode, len(p.RecordBatches))
		}
	}
	id[3] ^= 1
	if p := c.fetch(13, byID(id, 1))[0]; p.ErrorCode != kerr.UnknownTopicID.Code {
		l.t.Errorf("an id that no topic has: code %d, want 100", p.ErrorCode)
	}
}

func (l *lands) recreated() {
	l.create("phoenix", 1)
	prod, analytics := l.dial("prod-1"), l.dial("analytics-1")
	prod.stored("phoenix", recordtest.Batch(recordtest.Options{Values: []string{"first life", "and more"}}))
	old := l.topicID("phoenix")
	if p := analytics.fetch(11, fetchRequest("phoenix", 0, 0))[0]; p.ErrorCode != 0 {
		l.t.Fatalf("fetch: code %d", p.ErrorCode)
	}
	if deleted, err := l.admin("analytics").DeleteTopic(l.ctx, "phoenix"); err != nil || deleted.Err != nil {
		l.t.Fatalf("delete: %v, %v", err, deleted.Err)
	}
	// What an agent has read may still be served for a moment; then it is said to be gone.
	eventually(l.t, "a fetch of the deleted topic says that there is none", func() bool {
		return analytics.fetch(11, fetchOf(1, "phoenix", fetchPartition(0, 0)))[0].ErrorCode == kerr.UnknownTopicOrPartition.Code
	})
	b := recordtest.Batch(recordtest.Options{Values: []string{"second life"}})
	if p := prod.produce(9, "phoenix", b)[0]; p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		l.t.Errorf("produce to a deleted topic: code %d, want 3", p.ErrorCode)
	}
	l.create("phoenix", 1)
	if base := prod.stored("phoenix", b); base != 0 {
		l.t.Errorf("the new topic begins at offset %d", base)
	}
	for _, name := range []string{"analytics-1", "analytics-2"} {
		c := l.dial(name)
		p := c.fetch(11, fetchRequest("phoenix", 0, 0))[0]
		if batches := batchesOf(l.t, p.RecordBatches); p.ErrorCode != 0 || len(batches) != 1 || batches[0].NumRecords() != 1 {
			l.t.Errorf("%s: fetch of the new topic: code %d, %d batches", name, p.ErrorCode, len(batches))
		}
		if p := c.fetch(13, byID(old, 1))[0]; p.ErrorCode != kerr.UnknownTopicID.Code {
			l.t.Errorf("%s: fetch by the old id: code %d, want 100", name, p.ErrorCode)
		}
	}
}

func (l *lands) eachForItself() {
	l.create("sound", 1)
	l.dial("prod-1").stored("sound", recordtest.Batch(recordtest.Options{}))
	request := fetchOf(fetchRequest("", 0, 0).MaxWaitMillis, "sound", fetchPartition(0, 0), fetchPartition(1, 0))
	request.MinBytes = 1 << 20 // never there: an error is answered all the same
	missing := kmsg.NewFetchRequestTopic()
	missing.Topic, missing.Partitions = "missing", []kmsg.FetchRequestTopicPartition{fetchPartition(0, 0)}
	request.Topics = append(request.Topics, missing)
	var codes []int16
	for _, p := range l.dial("analytics-1").fetch(11, request) {
		codes = append(codes, p.ErrorCode)
		if p.ErrorCode == 0 && len(p.RecordBatches) == 0 {
			l.t.Error("the sound partition has no records in the answer")
		}
	}
	if unknown := kerr.UnknownTopicOrPartition.Code; !slices.Equal(codes, []int16{0, unknown, unknown}) {
		l.t.Errorf("codes are %v, want 0, 3 and 3", codes)
	}
	for epoch, want := range map[int32]int16{0: kerr.FencedLeaderEpoch.Code, 1: 0, 2: kerr.UnknownLeaderEpoch.Code} {
		p := fetchPartition(0, 0)
		p.CurrentLeaderEpoch = epoch
		if got := l.dial("analytics-1").fetch(11, fetchOf(1, "sound", p))[0]; got.ErrorCode != want {
			l.t.Errorf("leader epoch %d: code %d, want %d", epoch, got.ErrorCode, want)
		}
	}
}

func (l *lands) everyVersion() {
	l.create("versions", 1)
	l.dial("prod-1").stored("versions", recordtest.Batch(recordtest.Options{Records: 3, Size: 20}))
	id := l.topicID("versions")
	for version := int16(4); version <= 17; version++ {
		request := fetchRequest("versions", 0, 0)
		request.Topics[0].TopicID = id
		p := l.dial("analytics-2").fetch(version, request)[0]
		if batches := batchesOf(l.t, p.RecordBatches); p.ErrorCode != 0 || len(batches) != 1 || batches[0].NumRecords() != 3 {
			l.t.Errorf("version %d: code %d, %d batches", version, p.ErrorCode, len(batches))
		}
	}
}
