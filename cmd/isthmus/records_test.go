package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/record/recordtest"
)

// TestWhatIsProducedInOneLandIsReadUnchangedInTheOther follows records from group prod to group
// analytics, which share nothing but a bucket.
func TestWhatIsProducedInOneLandIsReadUnchangedInTheOther(t *testing.T) {
	t.Parallel()
	l := startLands(t)
	t.Run("every codec, with and without idempotence", func(t *testing.T) { l.in(t).everyCodec() })
	t.Run("acks 0, 1 and all", func(t *testing.T) { l.in(t).everyAcks() })
	t.Run("batches are the same byte for byte", func(t *testing.T) { l.in(t).sameBytes() })
	t.Run("LogAppendTime stamps batches and keeps the rest", func(t *testing.T) { l.in(t).appendTime() })
	t.Run("the order of a partition is the order of its producer", func(t *testing.T) { l.in(t).inOrder() })
	t.Run("batches of several requests in flight are answered in order", func(t *testing.T) { l.in(t).pipelined() })
	t.Run("a record of several MiB passes where the topic allows it", func(t *testing.T) { l.in(t).large() })
	t.Run("every agent of a group serves every partition", func(t *testing.T) { l.in(t).anyAgent() })
}

// in is the cluster as a subtest uses it: faults are the subtest's own.
func (l *lands) in(t *testing.T) *lands {
	own := *l
	own.t = t
	return &own
}

// varied are records with everything that a record can have, at a fixed time.
func varied(topic string) []*kgo.Record {
	at := time.UnixMilli(1_700_000_000_123)
	return []*kgo.Record{
		{Topic: topic, Key: []byte("key"), Value: []byte("value"), Timestamp: at},
		{Topic: topic, Key: []byte("tombstone"), Value: nil, Timestamp: at.Add(time.Millisecond)},
		{Topic: topic, Key: nil, Value: []byte("no key"), Timestamp: at.Add(-time.Hour)},
		{Topic: topic, Key: []byte{}, Value: []byte{}, Timestamp: at.Add(time.Second)},
		{Topic: topic, Value: []byte("headers"), Timestamp: at, Headers: []kgo.RecordHeader{
			{Key: "trace", Value: []byte{0, 1, 2, 255}}, {Key: "null", Value: nil}, {Key: "", Value: []byte("no name")}, {Key: "trace", Value: []byte("twice")},
		}},
		{Topic: topic, Key: bytes.Repeat([]byte("k"), 1000), Value: bytes.Repeat([]byte("compressible "), 5000), Timestamp: at},
		{Topic: topic, Value: []byte("non-ASCII: ±λ\x00\xff"), Timestamp: at},
	}
}

func (l *lands) everyCodec() {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		for _, idempotent := range []bool{true, false} {
			topic := fmt.Sprintf("codec-%s-%v", name, idempotent)
			l.create(topic, 1)
			options := []kgo.Opt{kgo.ProducerBatchCompression(codec)}
			if !idempotent {
				options = append(options, kgo.DisableIdempotentWrite())
			}
			sent := varied(topic)
			l.produce(l.client("prod", options...), sent...)
			l.sameRecords(sent, l.read(topic, len(sent)))
		}
	}
}

// sameRecords compares everything that a producer says of a record; offsets must be dense.
func (l *lands) sameRecords(sent, got []*kgo.Record) {
	l.t.Helper()
	for i, want := range sent {
		r := got[i]
		if r.Offset != int64(i) {
			l.t.Errorf("%s: record %d has offset %d", want.Topic, i, r.Offset)
		}
		if (r.Key == nil) != (want.Key == nil) || !bytes.Equal(r.Key, want.Key) || (r.Value == nil) != (want.Value == nil) || !bytes.Equal(r.Value, want.Value) {
			l.t.Errorf("%s: record %d has key %.40q and value %.40q, want %.40q and %.40q", want.Topic, i, r.Key, r.Value, want.Key, want.Value)
		}
		if r.Timestamp.UnixMilli() != want.Timestamp.UnixMilli() {
			l.t.Errorf("%s: record %d is of %v, want %v", want.Topic, i, r.Timestamp, want.Timestamp)
		}
		sameHeader := func(a, b kgo.RecordHeader) bool {
			return a.Key == b.Key && bytes.Equal(a.Value, b.Value) && (a.Value == nil) == (b.Value == nil)
		}
		if !slices.EqualFunc(r.Headers, want.Headers, sameHeader) {
			l.t.Errorf("%s: record %d has headers %q, want %q", want.Topic, i, r.Headers, want.Headers)
		}
	}
}

func (l *lands) everyAcks() {
	for name, acks := range map[string]kgo.Acks{"none": kgo.NoAck(), "leader": kgo.LeaderAck(), "all": kgo.AllISRAcks()} {
		topic := "acks-" + name
		l.create(topic, 1)
		want := numbered(topic, 200)
		// One batch in flight: without idempotence Kafka promises no order beyond that.
		client := l.client("prod", kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
		l.produce(client, texts(topic, want...)...)
		if got := values(l.read(topic, len(want))); !slices.Equal(got, want) {
			l.t.Errorf("acks=%s: read %d records that are not those produced", name, len(got))
		}
	}
}

func (l *lands) sameBytes() {
	l.create("bytes", 1)
	prod, analytics := l.dial("prod-1"), l.dial("analytics-1")
	var sent []record.Batch
	for codec := range int8(5) {
		for _, idempotent := range []bool{true, false} {
			b := recordtest.Batch(recordtest.Options{
				Records: 7, Size: 300, Key: "k", Seed: uint64(codec), Codec: codec, Xerial: idempotent, Time: 1_700_000_000_000, Step: 5,
				Idempotent: idempotent, ProducerID: prod.producerID(),
			})
			if base := prod.stored("bytes", b); base != int64(7*len(sent)) {
				l.t.Fatalf("batch %d got offset %d", len(sent), base)
			}
			sent = append(sent, b)
		}
	}
	var got []record.Batch
	for len(got) < len(sent) {
		p := analytics.fetch(11, fetchRequest("bytes", 0, int64(7*len(got))))[0]
		if p.ErrorCode != 0 {
			l.t.Fatalf("fetch: code %d", p.ErrorCode)
		}
		got = append(got, batchesOf(l.t, p.RecordBatches)...)
	}
	for i, want := range sent {
		if got[i].BaseOffset() != int64(7*i) || got[i].Epoch() != 1 {
			l.t.Errorf("batch %d is at offset %d of epoch %d", i, got[i].BaseOffset(), got[i].Epoch())
		}
		if !bytes.Equal(got[i][16:], want[16:]) {
			l.t.Errorf("batch %d (codec %d) has changed behind its leader epoch", i, want.Codec())
		}
	}
}

func (l *lands) appendTime() {
	l.create("append-time", 1, "message.timestamp.type=LogAppendTime")
	before := time.Now().UnixMilli()
	sent := varied("append-time")
	l.produce(l.client("prod"), sent...)
	got := l.read("append-time", len(sent))
	after := time.Now().UnixMilli()
	for i, r := range got {
		if at := r.Timestamp.UnixMilli(); at < before || at > after {
			l.t.Errorf("record %d is of %d, not between %d and %d", i, at, before, after)
		}
		sent[i].Timestamp = r.Timestamp
		if r.Attrs.TimestampType() != 1 {
			l.t.Errorf("record %d has timestamp type %d, want 1 (LogAppendTime)", i, r.Attrs.TimestampType())
		}
	}
	l.sameRecords(sent, got)
	answer := l.dial("prod-1").produce(9, "append-time", recordtest.Batch(recordtest.Options{}))[0]
	if answer.LogAppendTime < before {
		l.t.Errorf("the answer tells append time %d, want the agent's clock", answer.LogAppendTime)
	}
}

func (l *lands) inOrder() {
	const each, partitions = 500, 3
	l.create("in-order", partitions)
	client := l.client("prod", kgo.RecordPartitioner(kgo.ManualPartitioner()))
	var sent []*kgo.Record
	for i := range each * partitions {
		sent = append(sent, &kgo.Record{Topic: "in-order", Partition: int32(i % partitions), Value: fmt.Append(nil, i/partitions)})
	}
	l.produce(client, sent...)
	var next [partitions]int
	for _, r := range l.read("in-order", len(sent)) {
		if string(r.Value) != fmt.Sprint(next[r.Partition]) || r.Offset != int64(next[r.Partition]) {
			l.t.Fatalf("partition %d offset %d holds %s, want %d", r.Partition, r.Offset, r.Value, next[r.Partition])
		}
		next[r.Partition]++
	}
}

func (l *lands) pipelined() {
	l.create("pipelined", 1)
	c := l.dial("prod-2")
	const requests = 20
	id := c.producerID()
	for i := range requests {
		b := recordtest.Batch(recordtest.Options{Values: []string{fmt.Sprint(i)}, Idempotent: true, ProducerID: id, Sequence: int32(i)})
		c.send(9, produceRequest(-1, "pipelined", b))
	}
	for i := range requests {
		answer := receive[*kmsg.ProduceResponse](c)
		if p := answer.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			l.t.Errorf("request %d: code %d, offset %d", i, p.ErrorCode, p.BaseOffset)
		}
	}
}

func (l *lands) large() {
	const size = 12 << 20
	l.create("large", 1, fmt.Sprintf("max.message.bytes=%d", size+1000))
	value := strings.Repeat("0123456789abcdef", size/16)
	client := l.client("prod", kgo.ProducerBatchMaxBytes(size+1000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	l.produce(client, texts("large", value, "small")...)
	if got := values(l.read("large", 2)); got[0] != value || got[1] != "small" {
		l.t.Errorf("read records of %d and %d bytes, not the ones produced", len(got[0]), len(got[1]))
	}
}

func (l *lands) anyAgent() {
	const partitions = 4
	l.create("any-agent", partitions)
	for i, name := range []string{"prod-1", "prod-2"} {
		c := l.dial(name)
		b := recordtest.Batch(recordtest.Options{Values: []string{name}})
		for p, answer := range c.produce(9, "any-agent", b, b, b, b) {
			if answer.ErrorCode != 0 || answer.BaseOffset != int64(i) {
				l.t.Errorf("%s, partition %d: code %d, offset %d, want offset %d", name, p, answer.ErrorCode, answer.BaseOffset, i)
			}
		}
	}
	for _, name := range []string{"analytics-1", "analytics-2"} {
		c := l.dial(name)
		for p := range int32(partitions) {
			got := c.fetch(12, fetchRequest("any-agent", p, 1))[0]
			if batches := batchesOf(l.t, got.RecordBatches); got.ErrorCode != 0 || len(batches) != 1 || batches[0].BaseOffset() != 1 {
				l.t.Errorf("%s, partition %d: code %d, %d batches", name, p, got.ErrorCode, len(batches))
			}
		}
	}
}
