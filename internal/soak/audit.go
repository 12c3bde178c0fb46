package soak

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/internal/bench"
)

// auditPatience bounds a last read that finds nothing new: what is missing by then is lost.
const auditPatience = time.Minute

// ends are the end offsets of the topic's partitions.
func ends(ctx context.Context, topic string, brokers []string) (map[int32]int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, fmt.Errorf("connect to %v: %w", brokers, err)
	}
	defer client.Close()
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list end offsets of %s: %w", topic, err)
	}
	all := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { all[o.Partition] = o.Offset })
	return all, nil
}

// audit reads every partition from offset 0 to its end with a client of its own, and enters what it finds
// into the ledger. holes counts offsets that were left out.
func audit(ctx context.Context, topic string, brokers []string, ends map[int32]int64, ledger *bench.Ledger) (holes int64, err error) {
	from, left := map[int32]kgo.Offset{}, int64(0)
	next := map[int32]int64{}
	for p, end := range ends {
		from[p] = kgo.NewOffset().At(0)
		left += end
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ClientID("isthmus-soak-audit"),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return 0, fmt.Errorf("connect to %v: %w", brokers, err)
	}
	defer client.Close()
	strange := int64(0)
	for left > 0 {
		bounded, cancel := context.WithTimeout(ctx, auditPatience)
		fetches := client.PollFetches(bounded)
		cancel()
		if err := fetches.Err(); err != nil {
			return 0, fmt.Errorf("read %s from the beginning, with %d records left: %w", topic, left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != next[r.Partition] {
				holes += r.Offset - next[r.Partition]
			}
			if r.Offset >= ends[r.Partition] {
				return
			}
			left -= r.Offset + 1 - next[r.Partition]
			next[r.Partition] = r.Offset + 1
			stamp, ok := bench.ReadStamp(r.Value)
			if !ok {
				strange++
				return
			}
			ledger.Consumed(stamp.Stream, stamp.Sequence)
		})
	}
	if strange > 0 {
		return holes, fmt.Errorf("%d records of %s were written by nobody here", strange, topic)
	}
	return holes, nil
}
