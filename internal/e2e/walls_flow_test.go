//go:build e2e && linux

package e2e

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/internal/e2e/walls"
)

// flow is production that goes on in VPC A, and analytics that follow it in VPC B, until it is stopped. Its records
// are numbered within their partition, so that a loss, a duplicate and a changed order all show.
type flow struct {
	t          *testing.T
	topic      string
	stop       context.CancelFunc
	produced   chan struct{}
	consumed   chan struct{}
	consumer   *kgo.Client
	stopReader context.CancelFunc

	mu       sync.Mutex
	acked    map[int32]int64 // records by partition
	read     map[int32]int64
	anew     map[int32]bool // partitions that were given to the reader since it last read them
	reread   int64          // records read again after that, as consumers do that commit after they have read
	faults   []string       // what must never be
	lastAck  time.Time
	lastRead time.Time
	slowest  time.Duration // longest from sending a record to its acknowledgement
}

const (
	flowPartitions = 3
	flowEvery      = 10 * time.Millisecond
)

// startFlow lets records flow through a topic that is there, by agents of A to a consumer group of that name at agents of B.
func (w *wallsWorld) startFlow(topic, group string, writers, readers []*agent) *flow {
	t := w.t
	t.Helper()
	f := &flow{t: t, topic: topic, produced: make(chan struct{}), consumed: make(chan struct{}), acked: map[int32]int64{}, read: map[int32]int64{}, anew: map[int32]bool{}}
	var producing, reading context.Context
	producing, f.stop = context.WithCancel(context.Background())
	reading, f.stopReader = context.WithCancel(context.Background())
	t.Cleanup(f.stop)
	t.Cleanup(f.stopReader)

	producer := w.kafka(w.net.A, writers, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5*time.Millisecond),
		kgo.DefaultProduceTopic(topic))
	f.consumer = w.kafka(w.net.B, readers, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitInterval(500*time.Millisecond), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) { f.assigned(got[topic]) }))
	go f.produce(producing, producer)
	go f.consume(reading)
	return f
}

func (f *flow) produce(ctx context.Context, client *kgo.Client) {
	defer close(f.produced)
	tick := time.NewTicker(flowEvery)
	defer tick.Stop()
	next := map[int32]int64{}
	for i := int32(0); ctx.Err() == nil; i = (i + 1) % flowPartitions {
		sent := time.Now()
		record := &kgo.Record{Partition: i, Value: strconv.AppendInt(nil, next[i], 10)}
		next[i]++
		client.Produce(context.Background(), record, func(r *kgo.Record, err error) { f.ack(r, err, sent) })
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	flushing, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := client.Flush(flushing); err != nil {
		f.fault("production did not end: %v", err)
	}
}

func (f *flow) ack(r *kgo.Record, err error, sent time.Time) {
	if err != nil {
		f.fault("record %s of partition %d was refused: %v", r.Value, r.Partition, err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acked[r.Partition]++
	f.lastAck = time.Now()
	f.slowest = max(f.slowest, f.lastAck.Sub(sent))
}

func (f *flow) consume(ctx context.Context) {
	defer close(f.consumed)
	for ctx.Err() == nil {
		fetches := f.consumer.PollFetches(ctx)
		fetches.EachRecord(f.take) // errors are the faults' doing: what counts is what is read in the end
	}
}

func (f *flow) assigned(partitions []int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range partitions {
		f.anew[p] = true
	}
}

// take checks one record: the next of its partition, or one that was read before, once the partition is given anew.
func (f *flow) take(r *kgo.Record) {
	number, err := strconv.ParseInt(string(r.Value), 10, 64)
	f.mu.Lock()
	defer f.mu.Unlock()
	want := f.read[r.Partition]
	if err == nil && number < want && f.anew[r.Partition] {
		f.reread++
		return
	}
	f.anew[r.Partition] = false
	if err != nil || number != want {
		f.faults = append(f.faults, fmt.Sprintf("offset %d of partition %d holds %q, want %d", r.Offset, r.Partition, r.Value, want))
	}
	f.read[r.Partition] = max(want, number+1)
	f.lastRead = time.Now()
}

func (f *flow) fault(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

// flowed is how far both sides are.
type flowed struct {
	acked, read       int64
	lastAck, lastRead time.Time
}

func (f *flow) so() flowed {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := flowed{lastAck: f.lastAck, lastRead: f.lastRead}
	for i := range int32(flowPartitions) {
		s.acked += f.acked[i]
		s.read += f.read[i]
	}
	return s
}

// moves waits until so many records more are acknowledged and read.
func (f *flow) moves(what string, records int64) {
	f.t.Helper()
	f.produces(what, records)
	f.reads(what, records)
}

func (f *flow) produces(what string, records int64) {
	f.t.Helper()
	began := f.so()
	eventually(f.t, "production goes on "+what, func() error {
		if now := f.so(); now.acked < began.acked+records {
			return fmt.Errorf("%d records acknowledged, want %d more than %d", now.acked, records, began.acked)
		}
		return nil
	})
}

func (f *flow) reads(what string, records int64) {
	f.t.Helper()
	began := f.so()
	eventually(f.t, "analytics go on "+what, func() error {
		if now := f.so(); now.read < began.read+records {
			return fmt.Errorf("%d records read, want %d more than %d", now.read, records, began.read)
		}
		return nil
	})
}

// standsStill waits until nothing is acknowledged and nothing read any more, which is seen by waiting alone.
func (f *flow) standsStill(what string) {
	f.t.Helper()
	last := f.so()
	eventually(f.t, "nothing is stored or read "+what, func() error {
		time.Sleep(4 * time.Second)
		now := f.so()
		moved := now.acked - last.acked + now.read - last.read
		last = now
		if moved > 0 {
			return fmt.Errorf("%d records moved in 4 s", moved)
		}
		return nil
	})
}

// end stops production, waits until all of it is read, and says what went wrong in all the time.
func (f *flow) end() {
	f.t.Helper()
	f.stop()
	<-f.produced
	eventually(f.t, "analytics read all of "+f.topic, func() error {
		if now := f.so(); now.read != now.acked {
			return fmt.Errorf("%d of %d records read", now.read, now.acked)
		}
		return nil
	})
	f.stopReader()
	<-f.consumed
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fault := range f.faults {
		if f.t.Error(fault); i == 20 {
			f.t.Errorf("and %d faults more", len(f.faults)-i)
			break
		}
	}
	total := int64(0)
	for _, n := range f.acked {
		total += n
	}
	f.t.Logf("%s: %d records acknowledged and read in order; the slowest took %.1f s to be acknowledged", f.topic, total, f.slowest.Seconds())
}

// kafka is a client inside a VPC.
func (w *wallsWorld) kafka(in walls.VPC, agents []*agent, options ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(bootstrap(agents)...),
		kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			return w.dialTLS(ctx, in, network, address)
		}))...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	return client
}
