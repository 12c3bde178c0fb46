// The driver of franz-go.
package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/internal/e2e/clients/go/talk"
)

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func main() {
	talk.Code = func(err error) (int16, bool) {
		var e *kerr.Error
		if errors.As(err, &e) {
			return e.Code, true
		}
		return 0, false
	}
	talk.Run("github.com/twmb/franz-go", map[string]func(context.Context, talk.Options) error{"produce": produce, "consume": consume, "seek": seek})
}

func produce(ctx context.Context, o talk.Options) error {
	options := []kgo.Opt{
		kgo.SeedBrokers(o.Bootstrap...),
		kgo.DefaultProduceTopic(o.Topic),
		kgo.AllowAutoTopicCreation(),
		kgo.ProducerBatchCompression(codecs[o.Codec]),
		kgo.ProducerBatchMaxBytes(int32(o.MaxBatch())),
		kgo.ProducerLinger(o.Linger),
		kgo.RecordDeliveryTimeout(o.Timeout),
	}
	if !o.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	if o.Partition >= 0 {
		options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()

	var (
		mu            sync.Mutex
		acked, failed int
		wrong         = talk.NewErrors(5)
	)
	keys, values := talk.Records(o)
	for i := range keys {
		client.Produce(ctx, &kgo.Record{Key: keys[i], Value: values[i], Partition: int32(max(0, o.Partition))}, func(_ *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
				wrong.Say(err)
				return
			}
			acked++
		})
	}
	if err := client.Flush(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	talk.SayProduced(acked, failed)
	return nil
}

func consume(ctx context.Context, o talk.Options) error {
	reading, ctx := talk.NewReading(ctx, o)
	wrong := talk.NewErrors(20)
	options := []kgo.Opt{kgo.ConsumeTopics(o.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	if o.Group != "" {
		said := func(event string) func(context.Context, *kgo.Client, map[string][]int32) {
			return func(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
				if event == "revoked" {
					commit(ctx, client, o, wrong)
				}
				var all []int
				for _, p := range partitions[o.Topic] {
					all = append(all, int(p))
				}
				talk.SayPartitions(event, all)
			}
		}
		options = append(options, kgo.ConsumerGroup(o.Group), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
			kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(time.Second),
			kgo.OnPartitionsAssigned(said("assigned")), kgo.OnPartitionsRevoked(said("revoked")))
	}
	return read(ctx, reading, wrong, options...)
}

// commit commits what was polled, and says so.
func commit(ctx context.Context, client *kgo.Client, o talk.Options, wrong *talk.Errors) {
	if !o.Commit || o.Group == "" || len(client.UncommittedOffsets()) == 0 {
		return
	}
	if err := client.CommitUncommittedOffsets(context.WithoutCancel(ctx)); err != nil {
		wrong.Say(err)
		return
	}
	talk.Say(map[string]any{"event": "committed"})
}

func read(ctx context.Context, reading *talk.Reading, wrong *talk.Errors, options ...kgo.Opt) error {
	options = append(options, kgo.SeedBrokers(reading.Bootstrap...), kgo.FetchMaxWait(500*time.Millisecond))
	if reading.Committed {
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	committed := time.Now()
	left := reading.Count
	for ctx.Err() == nil {
		most := left
		if reading.Stay {
			most = 0 // as many as there are
		}
		poll, cancel := context.WithTimeout(ctx, time.Second)
		fetches := client.PollRecords(poll, most)
		cancel()
		fetches.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				wrong.Say(err)
			}
		})
		fetches.EachRecord(func(r *kgo.Record) {
			reading.Record(int(r.Partition), r.Offset, r.Key, r.Value, r.Timestamp)
			left--
		})
		if reading.Stay && time.Since(committed) > time.Second {
			commit(ctx, client, reading.Options, wrong)
			committed = time.Now()
		}
		client.AllowRebalance()
	}
	commit(ctx, client, reading.Options, wrong)
	client.CloseAllowingRebalance()
	reading.End()
	return nil
}

func seek(ctx context.Context, o talk.Options) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(o.Bootstrap...))
	if err != nil {
		return err
	}
	found, err := kadm.NewClient(client).ListOffsetsAfterMilli(ctx, o.Timestamp, o.Topic)
	client.Close()
	if err == nil {
		err = found.Error()
	}
	if err != nil {
		return err
	}
	from := make(map[int32]kgo.Offset)
	for _, p := range found.Offsets().Sorted() {
		at := found[o.Topic][p.Partition]
		from[p.Partition] = kgo.NewOffset().At(at.Offset)
		if at.Timestamp < 0 { // nothing is that new: the client puts the end in the place of -1
			at.Offset = -1
		}
		talk.SayOffset(int(p.Partition), at.Offset)
	}
	reading, ctx := talk.NewReading(ctx, o)
	return read(ctx, reading, talk.NewErrors(20), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.Topic: from}))
}
