package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// write is one producer: it sends a record whenever one is due, to each partition in turn.
func (r *run) write(ctx context.Context, index int) error {
	client, err := kgo.NewClient(r.producerOptions(index)...)
	if err != nil {
		return fmt.Errorf("start producer %d: %w", index, err)
	}
	defer client.Close()
	lanes := r.lanes(index)
	values := fillers(int(r.config.RecordSize), uint64(index))
	interval := time.Duration(0)
	if r.config.Rate > 0 {
		interval = time.Duration(float64(time.Second) * float64(r.config.Clients) / r.config.Rate)
	}
	due := time.Now()
	for n := 0; !r.over() && ctx.Err() == nil; n++ {
		if interval > 0 {
			due = due.Add(interval)
			if wait := time.Until(due); wait > 0 && !sleep(ctx, wait) {
				break
			}
		} else {
			due = time.Now()
		}
		r.send(ctx, client, &lanes[n%len(lanes)], values[n%len(values)], due)
	}
	return r.flush(ctx, client, index)
}

// flush waits for what is on its way, but not for ever: an idempotent client never gives up by
// itself, and a cluster that is gone is a finding, not a reason to say nothing.
func (r *run) flush(ctx context.Context, client *kgo.Client, index int) error {
	bounded, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	err := client.Flush(bounded)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("flush producer %d: %w", index, err)
	}
	r.fail(fmt.Errorf("producer %d: %d records without an answer %v after the last was sent", index, client.BufferedProduceRecords(), catchUp))
	return nil // closing the client counts each of them as an error
}

// lane is one stream of records: a producer and a partition.
type lane struct {
	topic     string
	partition int32
	stream    uint32
	next      uint64
}

func (r *run) lanes(index int) []lane {
	var all []lane
	for t, topic := range r.config.topics() {
		for p := range r.config.Partitions {
			stream := (index*r.config.Topics+t)*r.config.Partitions + p
			all = append(all, lane{topic: topic, partition: int32(p), stream: uint32(stream)})
		}
	}
	return all
}

func (r *run) send(ctx context.Context, client *kgo.Client, l *lane, filler []byte, due time.Time) {
	stamp := Stamp{Stream: l.stream, Sequence: l.next, Due: due}
	l.next++
	value := append(stamp.Append(make([]byte, 0, len(filler))), filler[StampSize:]...)
	record := &kgo.Record{Topic: l.topic, Partition: l.partition, Value: value}
	r.config.Watch.Sent(stamp)
	client.Produce(ctx, record, func(_ *kgo.Record, err error) {
		if err != nil {
			r.fail(err)
			r.config.Watch.Refused(stamp, err)
			return
		}
		r.acked(stamp)
		r.config.Watch.Acked(stamp)
		r.note(producing, 1, int64(len(value)), r.produce, time.Since(due).Microseconds())
	})
}

func (r *run) producerOptions(index int) []kgo.Opt {
	c := r.config
	options := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID(fmt.Sprintf("isthmus-bench-producer-%d", index)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(c.Linger),
		kgo.ProducerBatchMaxBytes(int32(c.BatchSize)), kgo.ProducerBatchCompression(codec(c.Compression)),
		kgo.MaxBufferedRecords(int(max(10_000, 64<<20/int64(c.RecordSize)))),
	}
	if !c.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	return append(options, c.metadata()...)
}

// metadata says how often a client looks where partitions are without having met an error.
func (c *Config) metadata() []kgo.Opt {
	if c.MetadataAge == 0 {
		return nil
	}
	return []kgo.Opt{kgo.MetadataMaxAge(c.MetadataAge)}
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

// variants is how many different values a producer sends: more than the windows of fast codecs hold, which would
// otherwise find each value in the one before.
const variants = 251

func fillers(size int, seed uint64) [][]byte {
	all := make([][]byte, variants)
	for i := range all {
		all[i] = filler(size, seed*variants+uint64(i))
	}
	return all
}

// filler is text about as compressible as JSON events are, the same for the same seed.
func filler(size int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 7))
	var text strings.Builder
	text.WriteString(strings.Repeat(" ", StampSize))
	for text.Len() < size {
		fmt.Fprintf(&text, `{"player":%d,"event":"move","x":%d,"y":%d},`, rng.IntN(1_000_000), rng.IntN(4096), rng.IntN(4096))
	}
	return []byte(text.String()[:size])
}

// read is one reader: it follows its share of the partitions until it is stopped.
func (r *run) read(ctx context.Context, index int, from map[string]map[int32]kgo.Offset, ledger *Ledger) error {
	if len(from) == 0 {
		return nil
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(r.config.consumeBrokers()...), kgo.ClientID(fmt.Sprintf("isthmus-bench-reader-%d", index)),
		kgo.ConsumePartitions(from), kgo.FetchMaxBytes(64 << 20), kgo.FetchMaxPartitionBytes(8 << 20),
	}
	client, err := kgo.NewClient(append(options, r.config.metadata()...)...)
	if err != nil {
		return fmt.Errorf("start reader %d: %w", index, err)
	}
	defer client.Close()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reader %d: %w", index, err)
		}
		fetches.EachRecord(func(record *kgo.Record) { r.consumed(record, ledger) })
	}
	return nil
}

func (r *run) consumed(record *kgo.Record, ledger *Ledger) {
	stamp, ok := ReadStamp(record.Value)
	if !ok {
		r.note(consuming, 1, int64(len(record.Value)), nil, 0)
		return
	}
	ledger.Consumed(stamp.Stream, stamp.Sequence)
	r.config.Watch.Consumed(stamp)
	r.note(consuming, 1, int64(len(record.Value)), r.endToEnd, time.Since(stamp.Due).Microseconds())
}

// split deals partitions to n readers.
func split(from map[string]map[int32]kgo.Offset, n int) []map[string]map[int32]kgo.Offset {
	shares := make([]map[string]map[int32]kgo.Offset, n)
	i := 0
	for _, topic := range sortedKeys(from) {
		for _, partition := range sortedKeys(from[topic]) {
			share := i % n
			i++
			if shares[share] == nil {
				shares[share] = map[string]map[int32]kgo.Offset{}
			}
			if shares[share][topic] == nil {
				shares[share][topic] = map[int32]kgo.Offset{}
			}
			shares[share][topic][partition] = from[topic][partition]
		}
	}
	return shares
}

func sortedKeys[K string | int32, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
