package main

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record/recordtest"
)

// TestABadBatchIsRefusedAloneAndNeverStored sends every fault that a batch can have, beside one
// that is sound.
func TestABadBatchIsRefusedAloneAndNeverStored(t *testing.T) {
	t.Parallel()
	l := startLands(t)
	for _, bad := range badBatches() {
		t.Run(bad.name, func(t *testing.T) { l.in(t).refusedAlone(bad) })
	}
	t.Run("zstd below version 7", func(t *testing.T) { l.in(t).zstdTooEarly() })
	t.Run("acks that do not exist", func(t *testing.T) { l.in(t).strangeAcks() })
	t.Run("an unknown topic or partition", func(t *testing.T) { l.in(t).unknownPlace() })
	t.Run("the internal topic", func(t *testing.T) { l.in(t).internalTopic() })
	t.Run("message sets of versions 0 to 2", func(t *testing.T) { l.in(t).oldVersions() })
	t.Run("acks=0 is told by a closed connection", func(t *testing.T) { l.in(t).toldByClosing() })
	t.Run("an idempotent batch: repeats, gaps, epochs", func(t *testing.T) { l.in(t).sequences() })
	t.Run("validate=deep looks into compressed batches", func(t *testing.T) { l.in(t).deep() })
}

// badBatch is a batch with one fault, and what is said of it.
type badBatch struct {
	name    string
	batch   []byte
	code    int16
	text    string // a word of the explanation
	setting string // of the topic
}

// badBatches are those for which the version of the request does not matter.
func badBatches() []badBatch {
	sound := recordtest.Options{Records: 3, Size: 20, Time: time.Now().UnixMilli()}
	with := func(change func(*recordtest.Options)) []byte {
		o := sound
		change(&o)
		return recordtest.Batch(o)
	}
	patched := func(change func(b []byte)) []byte {
		b := recordtest.Batch(sound)
		change(b)
		binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
		return b
	}
	flipped := recordtest.Batch(sound)
	flipped[len(flipped)-1] ^= 1
	corrupt, invalid, timestamp := kerr.CorruptMessage.Code, kerr.InvalidRecord.Code, kerr.InvalidTimestamp.Code
	return []badBatch{
		{"a wrong CRC", flipped, corrupt, "", ""},
		{"a length beyond the bytes", patched(func(b []byte) { b[11]++ }), corrupt, "", ""},
		{"cut short", recordtest.Batch(sound)[:70], corrupt, "", ""},
		{"less than a header", recordtest.Batch(sound)[:20], corrupt, "", ""},
		{"nothing", []byte{}, invalid, "not none", ""},
		{"a count that is not the last delta's", patched(func(b []byte) { b[60]++ }), invalid, "", ""},
		{"a negative count", patched(func(b []byte) { b[57] = 0x80 }), invalid, "", ""},
		{"magic 1", patched(func(b []byte) { b[16] = 1 }), invalid, "", ""},
		{"a codec that does not exist", patched(func(b []byte) { b[22] |= 7 }), kerr.UnsupportedCompressionType.Code, "", ""},
		{"the control bit", with(func(o *recordtest.Options) { o.Control = true }), invalid, "control", ""},
		{"the transactional bit", with(func(o *recordtest.Options) { o.Transactional, o.Idempotent = true, true }), kerr.InvalidTxnState.Code, "transactions", ""},
		{"two batches", recordtest.Frame(recordtest.Batch(sound), recordtest.Batch(sound)), invalid, "one record batch", ""},
		{"larger than the topic takes", with(func(o *recordtest.Options) { o.Size = 1000 }), kerr.MessageTooLarge.Code, "max.message.bytes=2000", "max.message.bytes=2000"},
		{"a negative timestamp", with(func(o *recordtest.Options) { o.Time = -5 }), timestamp, "-5", ""},
		{"a timestamp of the past", with(func(o *recordtest.Options) { o.Time -= 120_000 }), timestamp, "before.max.ms", "message.timestamp.before.max.ms=60000"},
		{"a timestamp of the future", with(func(o *recordtest.Options) { o.Time += 2 * 3600_000 }), timestamp, "after.max.ms", ""},
		{"a last timestamp of the future", with(func(o *recordtest.Options) { o.Step = 2 * 3600_000 }), timestamp, "after.max.ms", ""},
		{"a producer id without a sequence", with(func(o *recordtest.Options) { o.Idempotent, o.ProducerID, o.Sequence = true, 1, -1 }), invalid, "sequence", ""},
	}
}

// refusedAlone sends the batch to partition 1 between two sound ones.
func (l *lands) refusedAlone(bad badBatch) {
	topic := "bad-" + strings.NewReplacer(" ", "-", "'", "").Replace(bad.name)
	var settings []string
	if bad.setting != "" {
		settings = append(settings, bad.setting)
	}
	l.create(topic, 3, settings...)
	fine := recordtest.Batch(recordtest.Options{Values: []string{"fine"}, Time: time.Now().UnixMilli()})
	answers := l.dial("prod-1").produce(9, topic, fine, bad.batch, fine)
	for _, i := range []int{0, 2} {
		if answers[i].ErrorCode != 0 || answers[i].BaseOffset != 0 {
			l.t.Errorf("the sound batch beside it: code %d, offset %d", answers[i].ErrorCode, answers[i].BaseOffset)
		}
	}
	if a := answers[1]; a.ErrorCode != bad.code || a.BaseOffset != -1 || !strings.Contains(said(a.ErrorMessage), bad.text) || said(a.ErrorMessage) == "" {
		l.t.Errorf("code %d, offset %d, %q; want code %d with %q", a.ErrorCode, a.BaseOffset, said(a.ErrorMessage), bad.code, bad.text)
	}
	request := listOffsets(topic, atLatest)
	request.Topics[0].Partitions[0].Partition = 1
	if p := call[*kmsg.ListOffsetsResponse](l.dial("analytics-1"), 7, request).Topics[0].Partitions[0]; p.Offset != 0 {
		l.t.Errorf("it was stored all the same: the partition ends at %d", p.Offset)
	}
}

func (l *lands) zstdTooEarly() {
	l.create("zstd", 1)
	b := recordtest.Batch(recordtest.Options{Codec: 4, Size: 100})
	c := l.dial("prod-1")
	for version, want := range map[int16]int16{6: kerr.UnsupportedCompressionType.Code, 7: 0} {
		if p := c.produce(version, "zstd", b)[0]; p.ErrorCode != want {
			l.t.Errorf("version %d: code %d, want %d", version, p.ErrorCode, want)
		}
	}
}

func (l *lands) strangeAcks() {
	l.create("acks", 1)
	for _, acks := range []int16{2, -2} {
		answer := call[*kmsg.ProduceResponse](l.dial("prod-1"), 9, produceRequest(acks, "acks", recordtest.Batch(recordtest.Options{})))
		if p := answer.Topics[0].Partitions[0]; p.ErrorCode != kerr.InvalidRequiredAcks.Code {
			l.t.Errorf("acks=%d: code %d, want 21", acks, p.ErrorCode)
		}
	}
}

func (l *lands) unknownPlace() {
	l.create("small", 1)
	c, b := l.dial("prod-1"), recordtest.Batch(recordtest.Options{})
	if answers := c.produce(9, "small", b, b); answers[0].ErrorCode != 0 || answers[1].ErrorCode != kerr.UnknownTopicOrPartition.Code {
		l.t.Errorf("partitions 0 and 1 of 1: codes %d and %d, want 0 and 3", answers[0].ErrorCode, answers[1].ErrorCode)
	}
	if p := c.produce(9, "nowhere", b)[0]; p.ErrorCode != kerr.UnknownTopicOrPartition.Code || !strings.Contains(said(p.ErrorMessage), "nowhere") {
		l.t.Errorf("an unknown topic: code %d, %q, want 3 and its name", p.ErrorCode, said(p.ErrorMessage))
	}
	if found, err := l.admin("prod").ListTopics(l.ctx, "nowhere"); err != nil || found.Has("nowhere") {
		l.t.Errorf("Produce has created the topic: %v", err)
	}
}

func (l *lands) internalTopic() {
	c := l.dial("prod-1")
	if p := c.produce(9, "__consumer_offsets", recordtest.Batch(recordtest.Options{}))[0]; p.ErrorCode != kerr.InvalidTopicException.Code {
		l.t.Errorf("produce to the internal topic: code %d, want 17", p.ErrorCode)
	}
}

func (l *lands) oldVersions() {
	l.create("old", 1)
	for version := range int16(3) {
		answer := call[*kmsg.ProduceResponse](l.dial("prod-1"), version, produceRequest(-1, "old", recordtest.Batch(recordtest.Options{})))
		if p := answer.Topics[0].Partitions[0]; p.ErrorCode != kerr.UnsupportedVersion.Code {
			l.t.Errorf("version %d: code %d, want 35", version, p.ErrorCode)
		}
	}
}

func (l *lands) toldByClosing() {
	l.create("silent", 1)
	fine := recordtest.Batch(recordtest.Options{})
	c := l.dial("prod-1")
	c.send(9, produceRequest(0, "silent", fine))
	c.waiting = nil // nothing answers it
	c.stored("silent", fine)
	broken := recordtest.Batch(recordtest.Options{Size: 5})
	broken[len(broken)-1] ^= 1
	c.send(9, produceRequest(0, "silent", broken))
	c.closed()
	// This one is sound, and taken; that it comes too early only the control plane can know.
	late := l.dial("prod-1")
	gap := recordtest.Options{Idempotent: true, ProducerID: l.dial("prod-1").producerID(), Sequence: 5}
	late.send(9, produceRequest(0, "silent", recordtest.Batch(gap)))
	late.closed()
	if p := listOffset(l.dial("prod-1"), 7, "silent", atLatest); p.Offset != 2 {
		l.t.Errorf("the log ends at %d, want the two sound batches", p.Offset)
	}
}

func (l *lands) sequences() {
	l.create("sequences", 1)
	id := l.dial("analytics-1").producerID()
	batch := func(epoch int16, sequence int32, records int) []byte {
		return recordtest.Batch(recordtest.Options{Records: records, Idempotent: true, ProducerID: id, Epoch: epoch, Sequence: sequence})
	}
	for _, q := range []struct {
		why      string
		agent    string
		epoch    int16
		sequence int32
		records  int
		code     int16
		offset   int64
	}{
		{"the first", "prod-1", 0, 0, 2, 0, 0},
		{"the second", "prod-1", 0, 2, 3, 0, 2},
		{"a repeat gets its first offset", "prod-1", 0, 2, 3, 0, 2},
		{"at another agent too", "prod-2", 0, 0, 2, 0, 0},
		{"a gap may still close", "prod-1", 0, 7, 1, kerr.NotEnoughReplicas.Code, -1},
		{"and closes at another agent", "prod-2", 0, 5, 2, 0, 5},
		{"what stood after it follows", "prod-1", 0, 7, 1, 0, 7},
		{"a partial overlap is out of order", "prod-1", 0, 6, 4, kerr.OutOfOrderSequenceNumber.Code, -1},
		{"a new epoch begins at 0", "prod-2", 1, 0, 1, 0, 8},
		{"an old epoch is no longer taken", "prod-1", 0, 8, 1, kerr.NotEnoughReplicas.Code, -1},
	} {
		p := l.dial(q.agent).produce(9, "sequences", batch(q.epoch, q.sequence, q.records))[0]
		if p.ErrorCode != q.code || p.BaseOffset != q.offset {
			l.t.Errorf("%s: epoch %d, sequence %d, %d records: code %d, offset %d, want code %d, offset %d", q.why, q.epoch, q.sequence, q.records, p.ErrorCode, p.BaseOffset, q.code, q.offset)
		}
	}
	unknown := recordtest.Batch(recordtest.Options{Idempotent: true, ProducerID: 1 << 40})
	if p := l.dial("prod-1").produce(9, "sequences", unknown)[0]; p.ErrorCode != kerr.UnknownProducerID.Code || p.LogStartOffset != 0 {
		l.t.Errorf("a producer id that was never given: code %d, log start %d, want 59 and 0", p.ErrorCode, p.LogStartOffset)
	}
}

func (l *lands) deep() {
	l.addAgent("deep-1", "deep", rolesOf("produce"), func(c *agentConfig) { c.Produce.Validation = "deep" })
	l.create("deep", 1)
	now := time.Now().UnixMilli()
	c := l.dial("deep-1")
	for codec := range int8(5) {
		if p := c.produce(9, "deep", recordtest.Batch(recordtest.Options{Records: 5, Size: 50, Codec: codec, Time: now}))[0]; p.ErrorCode != 0 {
			l.t.Errorf("codec %d: a sound batch is refused with %d, %s", codec, p.ErrorCode, said(p.ErrorMessage))
		}
		broken := recordtest.Batch(recordtest.Options{Records: 5, Size: 50, Codec: codec, Time: now})
		broken[61] ^= 3 // a length, or what a codec begins with
		binary.BigEndian.PutUint32(broken[17:], crc32.Checksum(broken[21:], crc32.MakeTable(crc32.Castagnoli)))
		if p := c.produce(9, "deep", broken)[0]; p.ErrorCode == 0 {
			l.t.Errorf("codec %d: records that do not read back were accepted", codec)
		}
	}
}
