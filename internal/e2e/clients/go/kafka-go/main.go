// The driver of segmentio's kafka-go.
package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/isthmusdata/isthmus/internal/e2e/clients/go/talk"
)

var codecs = map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}

func main() {
	talk.Code = func(err error) (int16, bool) {
		var e kafka.Error
		if errors.As(err, &e) {
			return int16(e), true
		}
		return 0, false
	}
	talk.Run("github.com/segmentio/kafka-go", map[string]func(context.Context, talk.Options) error{"produce": produce, "consume": consume, "seek": seek})
}

func produce(ctx context.Context, o talk.Options) error {
	writer := &kafka.Writer{
		Addr:         kafka.TCP(o.Bootstrap...),
		Topic:        o.Topic,
		RequiredAcks: kafka.RequireAll,
		Compression:  codecs[o.Codec],
		BatchBytes:   int64(o.MaxBatch()),
		BatchTimeout: o.Linger,
	}
	if o.Partition >= 0 {
		writer.Balancer = kafka.BalancerFunc(func(kafka.Message, ...int) int { return o.Partition })
	}
	var messages []kafka.Message
	keys, values := talk.Records(o)
	for i := range keys {
		messages = append(messages, kafka.Message{Key: keys[i], Value: values[i]})
	}
	failed, wrong := 0, talk.NewErrors(5)
	var each kafka.WriteErrors
	switch err := writer.WriteMessages(ctx, messages...); {
	case errors.As(err, &each):
		failed = each.Count()
		for _, e := range each {
			if e != nil {
				wrong.Say(e)
			}
		}
	case err != nil:
		failed = len(messages)
		wrong.Say(err)
	}
	talk.SayProduced(len(messages)-failed, failed)
	return writer.Close()
}

// follow reads one partition from an offset until ctx is done, and hands on what it reads.
func follow(ctx context.Context, o talk.Options, partition int, offset int64, wrong *talk.Errors, hand func(kafka.Message)) {
	config := kafka.ReaderConfig{
		Brokers: o.Bootstrap, Topic: o.Topic, Partition: partition, MinBytes: 1, MaxBytes: talk.MaxFetch, MaxWait: 500 * time.Millisecond,
	}
	if o.Committed {
		config.IsolationLevel = kafka.ReadCommitted
	}
	reader := kafka.NewReader(config)
	defer func() {
		if err := reader.Close(); err != nil {
			wrong.Say(err)
		}
	}()
	if err := reader.SetOffset(offset); err != nil {
		wrong.Say(err)
		return
	}
	for {
		message, err := reader.FetchMessage(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wrong.Say(err)
		default:
			hand(message)
		}
	}
}

func consume(ctx context.Context, o talk.Options) error {
	if o.Group == "" {
		partitions, err := partitionsOf(ctx, o)
		if err != nil {
			return err
		}
		starts := make(map[int]int64)
		for _, p := range partitions {
			starts[p] = kafka.FirstOffset
		}
		return consumeFrom(ctx, o, starts)
	}
	reading, ctx := talk.NewReading(ctx, o)
	wrong := talk.NewErrors(20)
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: o.Group, Brokers: o.Bootstrap, Topics: []string{o.Topic}, StartOffset: kafka.FirstOffset,
		SessionTimeout: 10 * time.Second, HeartbeatInterval: time.Second,
	})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		generation, err := group.Next(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			wrong.Say(err)
			continue
		}
		consumeGeneration(ctx, generation, reading, wrong)
	}
	err = group.Close()
	reading.End()
	return err
}

// consumeGeneration reads the partitions of one generation of the group until it ends, or ctx is done; what
// was read is committed before the generation is given up.
func consumeGeneration(ctx context.Context, generation *kafka.Generation, reading *talk.Reading, wrong *talk.Errors) {
	var partitions []int
	messages := make(chan kafka.Message)
	for _, a := range generation.Assignments[reading.Topic] {
		partitions = append(partitions, a.ID)
		generation.Start(func(ctx context.Context) {
			follow(ctx, reading.Options, a.ID, a.Offset, wrong, func(m kafka.Message) {
				select {
				case messages <- m:
				case <-ctx.Done():
				}
			})
		})
	}
	talk.SayPartitions("assigned", partitions)
	done := make(chan struct{})
	generation.Start(func(generationEnds context.Context) {
		defer close(done)
		next := make(map[int]int64)
		commit := func() {
			if !reading.Commit || len(next) == 0 {
				return
			}
			if err := generation.CommitOffsets(map[string]map[int]int64{reading.Topic: next}); err != nil {
				wrong.Say(err)
				return
			}
			clear(next)
			talk.Say(map[string]any{"event": "committed"})
		}
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for generationEnds.Err() == nil && ctx.Err() == nil {
			select {
			case m := <-messages:
				if reading.Record(m.Partition, m.Offset, m.Key, m.Value, m.Time) {
					next[m.Partition] = m.Offset + 1
				}
			case <-second.C:
				if reading.Stay {
					commit()
				}
			case <-generationEnds.Done():
			case <-ctx.Done():
			}
		}
		commit()
		talk.SayPartitions("revoked", partitions)
	})
	<-done
}

func consumeFrom(ctx context.Context, o talk.Options, starts map[int]int64) error {
	reading, ctx := talk.NewReading(ctx, o)
	wrong := talk.NewErrors(20)
	var readers sync.WaitGroup
	for partition, offset := range starts {
		readers.Go(func() {
			follow(ctx, o, partition, offset, wrong, func(m kafka.Message) {
				reading.Record(m.Partition, m.Offset, m.Key, m.Value, m.Time)
			})
		})
	}
	readers.Wait()
	reading.End()
	return nil
}

func partitionsOf(ctx context.Context, o talk.Options) ([]int, error) {
	found, err := kafka.DefaultDialer.LookupPartitions(ctx, "tcp", o.Bootstrap[0], o.Topic)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, p := range found {
		all = append(all, p.ID)
	}
	return all, nil
}

func seek(ctx context.Context, o talk.Options) error {
	partitions, err := partitionsOf(ctx, o)
	if err != nil {
		return err
	}
	starts := make(map[int]int64)
	for _, p := range partitions {
		conn, err := kafka.DialLeader(ctx, "tcp", o.Bootstrap[0], o.Topic, p)
		if err != nil {
			return err
		}
		offset, err := conn.ReadOffset(time.UnixMilli(o.Timestamp))
		if err = errors.Join(err, conn.Close()); err != nil {
			return err
		}
		talk.SayOffset(p, offset)
		if offset >= 0 {
			starts[p] = offset
		}
	}
	return consumeFrom(ctx, o, starts)
}
