//go:build e2e

package e2e

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// write produces records through a group that may, to the partitions in turns, and returns when all are acknowledged.
func write(t *testing.T, agents []*agent, records ...*kgo.Record) {
	t.Helper()
	client := newClient(t, agents, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatalf("produce %d records: %v", len(records), err)
	}
}

// readAll reads a topic from its beginning to its present end, through a group that may.
func readAll(t *testing.T, agents []*agent, topic string) []*kgo.Record {
	t.Helper()
	client := newClient(t, agents, kgo.ConsumeTopics(topic))
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var ends kadm.ListedOffsets
	eventually(t, "the end of "+topic+" is known", func() (err error) { // an agent may have been killed just now
		if ends, err = kadm.NewClient(client).ListEndOffsets(ctx, topic); err == nil {
			err = ends.Error()
		}
		return err
	})
	left := int64(0)
	ends.Each(func(end kadm.ListedOffset) { left += end.Offset })
	var all []*kgo.Record
	for left > 0 {
		fetches := client.PollFetches(ctx)
		for _, failed := range fetches.Errors() {
			t.Fatalf("read %s/%d: %v, with %d records to come", failed.Topic, failed.Partition, failed.Err, left)
		}
		for _, record := range fetches.Records() {
			end, ok := ends.Lookup(topic, record.Partition)
			if !ok || record.Offset >= end.Offset {
				continue
			}
			all = append(all, record)
			left--
		}
	}
	return all
}

func newClient(t *testing.T, agents []*agent, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(bootstrap(agents)...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}
