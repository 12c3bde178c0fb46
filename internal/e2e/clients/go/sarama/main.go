// The driver of sarama.
package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/isthmusdata/isthmus/internal/e2e/clients/go/talk"
)

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func main() {
	talk.Code = func(err error) (int16, bool) {
		var e sarama.KError
		if errors.As(err, &e) {
			return int16(e), true
		}
		return 0, false
	}
	talk.Run("github.com/IBM/sarama", map[string]func(context.Context, talk.Options) error{"produce": produce, "consume": consume, "seek": seek})
}

func configure(o talk.Options) *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Compression = codecs[o.Codec]
	config.Producer.MaxMessageBytes = o.MaxBatch()
	config.Producer.Flush.Frequency = o.Linger
	config.Producer.Timeout = o.Timeout
	config.Producer.Return.Successes = true
	if o.Idempotent {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	}
	if o.Partition >= 0 {
		config.Producer.Partitioner = sarama.NewManualPartitioner
	}
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Return.Errors = true
	config.Consumer.Group.Session.Timeout = 10 * time.Second
	config.Consumer.Group.Heartbeat.Interval = time.Second
	if o.Committed {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	return config
}

func produce(_ context.Context, o talk.Options) error {
	producer, err := sarama.NewSyncProducer(o.Bootstrap, configure(o))
	if err != nil {
		return err
	}
	var messages []*sarama.ProducerMessage
	keys, values := talk.Records(o)
	for i := range keys {
		messages = append(messages, &sarama.ProducerMessage{
			Topic: o.Topic, Key: sarama.ByteEncoder(keys[i]), Value: sarama.ByteEncoder(values[i]), Partition: int32(o.Partition),
		})
	}
	failed, wrong := 0, talk.NewErrors(5)
	if err := producer.SendMessages(messages); err != nil {
		var each sarama.ProducerErrors
		if !errors.As(err, &each) {
			return err
		}
		failed = len(each)
		for _, e := range each {
			wrong.Say(e.Err)
		}
	}
	talk.SayProduced(len(messages)-failed, failed)
	return producer.Close()
}

// member handles what the group gives and takes.
type member struct {
	*talk.Reading
	mu     sync.Mutex
	marked bool
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	talk.SayPartitions("assigned", claimed(session, m.Topic))
	return nil
}

func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	m.commit(session)
	talk.SayPartitions("revoked", claimed(session, m.Topic))
	return nil
}

func claimed(session sarama.ConsumerGroupSession, topic string) []int {
	var all []int
	for _, p := range session.Claims()[topic] {
		all = append(all, int(p))
	}
	return all
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case message, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			if m.Record(int(message.Partition), message.Offset, message.Key, message.Value, message.Timestamp) {
				m.mu.Lock()
				session.MarkMessage(message, "")
				m.marked = true
				m.mu.Unlock()
			}
		case <-second.C:
			if m.Stay {
				m.commit(session)
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

// commit commits what is marked. What goes wrong comes out of the group's errors.
func (m *member) commit(session sarama.ConsumerGroupSession) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.Commit || !m.marked {
		return
	}
	session.Commit()
	m.marked = false
	talk.Say(map[string]any{"event": "committed"})
}

func consume(ctx context.Context, o talk.Options) error {
	if o.Group == "" {
		return consumeFrom(ctx, o, func(sarama.Client, int32) (int64, error) { return sarama.OffsetOldest, nil })
	}
	reading, ctx := talk.NewReading(ctx, o)
	group, err := sarama.NewConsumerGroup(o.Bootstrap, o.Group, configure(o))
	if err != nil {
		return err
	}
	wrong := talk.NewErrors(20)
	var listening sync.WaitGroup
	listening.Go(func() {
		for err := range group.Errors() {
			wrong.Say(err)
		}
	})
	m := &member{Reading: reading}
	for ctx.Err() == nil {
		if err := group.Consume(ctx, []string{o.Topic}, m); err != nil && ctx.Err() == nil {
			wrong.Say(err)
		}
	}
	err = group.Close()
	listening.Wait()
	reading.End()
	return err
}

// consumeFrom reads every partition from where start says; a negative number of its own but sarama's names none.
func consumeFrom(ctx context.Context, o talk.Options, start func(sarama.Client, int32) (int64, error)) error {
	client, err := sarama.NewClient(o.Bootstrap, configure(o))
	if err != nil {
		return err
	}
	partitions, err := client.Partitions(o.Topic)
	if err != nil {
		return err
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return err
	}
	starts := make(map[int32]int64)
	for _, p := range partitions {
		if starts[p], err = start(client, p); err != nil {
			return err
		}
	}
	reading, ctx := talk.NewReading(ctx, o)
	wrong := talk.NewErrors(20)
	var readers sync.WaitGroup
	for _, p := range partitions {
		if starts[p] == none {
			continue
		}
		part, err := consumer.ConsumePartition(o.Topic, p, starts[p])
		if err != nil {
			return err
		}
		readers.Go(func() {
			defer part.AsyncClose()
			for {
				select {
				case m := <-part.Messages():
					reading.Record(int(m.Partition), m.Offset, m.Key, m.Value, m.Timestamp)
				case err := <-part.Errors():
					wrong.Say(err)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	readers.Wait()
	reading.End()
	return errors.Join(consumer.Close(), client.Close())
}

// none says that a partition has no record to read. It is none of sarama's own (OffsetOldest is -2).
const none = -100

func seek(ctx context.Context, o talk.Options) error {
	return consumeFrom(ctx, o, func(client sarama.Client, partition int32) (int64, error) {
		offset, err := client.GetOffset(o.Topic, partition, o.Timestamp)
		if err != nil {
			return 0, err
		}
		talk.SayOffset(int(partition), offset)
		if offset < 0 {
			return none, nil
		}
		return offset, nil
	})
}
