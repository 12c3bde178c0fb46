package main

import (
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/internal/bench"
)

// flow is a stream of records from group prod to a verifying reader at group analytics. Faults
// may happen at any moment; at the end every acknowledged record was read once and in order.
type flow struct {
	l        *lands
	topic    string
	parts    int32
	producer *kgo.Client
	ledger   *bench.Ledger
	next     []uint64 // of each partition
	reading  sync.WaitGroup
	stop     func()

	mu     sync.Mutex
	failed error // the first record that was refused for good, or read with an error
}

// flows creates a topic and starts the reader. The producer is idempotent, as Kafka's are by default.
func (l *lands) flows(topic string, partitions int32, options ...kgo.Opt) *flow {
	l.t.Helper()
	l.create(topic, partitions)
	f := &flow{l: l, topic: topic, parts: partitions, ledger: bench.NewLedger(), next: make([]uint64, partitions)}
	f.producer = l.client("prod", append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(patience))...)
	reader := l.client("analytics", kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	f.stop = sync.OnceFunc(func() {
		reader.Close()
		f.reading.Wait()
	})
	l.t.Cleanup(f.stop)
	f.reading.Go(func() { f.read(reader) })
	return f
}

func (f *flow) read(reader *kgo.Client) {
	for {
		fetches := reader.PollFetches(f.l.ctx)
		if fetches.IsClientClosed() || f.l.ctx.Err() != nil {
			return
		}
		fetches.EachError(func(_ string, _ int32, err error) { f.fail(err) })
		fetches.EachRecord(func(r *kgo.Record) {
			stamp, ok := bench.ReadStamp(r.Value)
			if !ok {
				f.fail(errors.New("a strange record was read"))
				return
			}
			f.ledger.Consumed(stamp.Stream, stamp.Sequence)
		})
	}
}

func (f *flow) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = err
	}
}

// send produces n records, to each partition in turn, and does not wait for them.
func (f *flow) send(n int) {
	for i := range n {
		partition := int32(i) % f.parts
		stamp := bench.Stamp{Stream: uint32(partition), Sequence: f.next[partition], Due: time.Now()}
		f.next[partition]++
		record := &kgo.Record{Topic: f.topic, Partition: partition, Value: stamp.Append(nil)}
		f.producer.Produce(f.l.ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				f.fail(err)
				return
			}
			f.ledger.Acked(stamp.Stream, stamp.Sequence)
		})
	}
}

// acked waits until at least n records of all are acknowledged.
func (f *flow) acked(n int64) {
	f.l.t.Helper()
	eventually(f.l.t, "records are acknowledged", func() bool { return f.ledger.Counts().Acked >= n })
}

// sound waits for the acknowledgements of everything sent, lets the reader catch up, and judges.
func (f *flow) sound() {
	t := f.l.t
	t.Helper()
	if err := f.producer.Flush(f.l.ctx); err != nil {
		t.Fatalf("wait for acknowledgements: %v", err)
	}
	var sent int64
	for _, n := range f.next {
		sent += int64(n)
	}
	eventually(t, "everything acknowledged is read", func() bool { return f.ledger.Counts().Lost == 0 })
	f.sameEnds()
	f.stop()
	if f.failed != nil {
		t.Errorf("a client was told: %v", f.failed)
	}
	if c := f.ledger.Counts(); c.Acked != sent || c.Consumed != sent || c.Lost+c.Duplicated+c.Reordered != 0 {
		t.Errorf("sent %d records: %d acknowledged, %d read, %d lost, %d duplicated, %d reordered", sent, c.Acked, c.Consumed, c.Lost, c.Duplicated, c.Reordered)
	}
}

// sameEnds compares the ends of the logs with what was sent: a duplicate that the reader has not
// reached yet would show there.
func (f *flow) sameEnds() {
	f.l.t.Helper()
	ends, err := f.l.admin("analytics").ListEndOffsets(f.l.ctx, f.topic)
	if err != nil {
		f.l.t.Fatal(err)
	}
	for p := range f.parts {
		end, ok := ends.Lookup(f.topic, p)
		if !ok || end.Err != nil || end.Offset != int64(f.next[p]) {
			f.l.t.Errorf("partition %d ends at %d (%v), want %d", p, end.Offset, end.Err, f.next[p])
		}
	}
}
