package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"golang.org/x/sync/errgroup"
)

// historian reads a topic from its beginning to its end, over and over, as fast as it is given records. It looks at
// the heads of batches alone, so that what it takes of the processor is little beside what it asks of the agents; and it fails
// when one does not follow the one before it.
type historian struct {
	topic string
	read  *atomic.Int64 // bytes of batches, of all historians
	at    map[int32]int64
	end   map[int32]int64
}

// readHistory runs so many historians until stop is called, which returns how many bytes of batches they have read.
func readHistory(ctx context.Context, brokers []string, topic string, n int) (read *atomic.Int64, stop func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	read = new(atomic.Int64)
	var all errgroup.Group
	for i := range n {
		// Fetch up to version 12 names topics, which saves asking for their ids.
		client, err := kgo.NewClient(kgo.SeedBrokers(brokers[i%len(brokers)]), kgo.MaxVersions(kversion.V2_8_0()),
			kgo.ClientID(fmt.Sprintf("isthmus-bench-historian-%d", i)))
		if err != nil {
			cancel()
			return nil, nil, errors.Join(fmt.Errorf("start reader of history %d: %w", i, err), all.Wait())
		}
		h := &historian{topic: topic, read: read}
		all.Go(func() error {
			defer client.Close()
			return h.run(ctx, client, float64(i)/float64(n))
		})
	}
	return read, func() error { cancel(); return all.Wait() }, nil
}

// run reads on from a part of the topic, so that historians do not all read the same.
func (h *historian) run(ctx context.Context, client *kgo.Client, from float64) error {
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, h.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("list the ends of %s: %w", h.topic, err)
	}
	h.at, h.end = map[int32]int64{}, map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		h.end[o.Partition] = o.Offset
		h.at[o.Partition] = int64(float64(o.Offset) * from)
	})
	aligned := map[int32]bool{} // partitions whose place is known to be the beginning of a batch
	for ctx.Err() == nil {
		response, err := client.SeedBrokers()[0].RetriableRequest(ctx, h.request())
		switch {
		case ctx.Err() != nil:
			continue
		case err != nil:
			return fmt.Errorf("read %s: %w", h.topic, err)
		}
		for _, t := range response.(*kmsg.FetchResponse).Topics {
			for _, p := range t.Partitions {
				if err := h.take(p.Partition, p.RecordBatches, aligned); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (h *historian) request() *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.SessionEpoch = 500, 1, 50<<20, -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = h.topic
	for p := range h.end {
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.FetchOffset, part.PartitionMaxBytes, part.CurrentLeaderEpoch = p, h.at[p], 1<<20, -1
		topic.Partitions = append(topic.Partitions, part)
	}
	r.Topics = append(r.Topics, topic)
	return r
}

// Where the fields of a record batch lie that a historian looks at.
const (
	batchLength    = 8
	lastOffset     = 23 // relative to the first
	batchHead      = 61
	beforeLength   = 12 // bytes that a batch's length does not count
	firstOffsetEnd = 8
)

// take goes over the batches of one partition.
func (h *historian) take(p int32, batches []byte, aligned map[int32]bool) error {
	h.read.Add(int64(len(batches)))
	for len(batches) >= batchHead {
		first := int64(binary.BigEndian.Uint64(batches[:firstOffsetEnd]))
		size := beforeLength + int(binary.BigEndian.Uint32(batches[batchLength:]))
		if aligned[p] && first != h.at[p] {
			return fmt.Errorf("partition %d of %s: a batch at %d where %d was to come", p, h.topic, first, h.at[p])
		}
		aligned[p] = true
		h.at[p] = first + int64(binary.BigEndian.Uint32(batches[lastOffset:])) + 1
		if size > len(batches) {
			return fmt.Errorf("partition %d of %s: a batch of %d bytes is cut", p, h.topic, size)
		}
		batches = batches[size:]
	}
	if h.at[p] >= h.end[p] {
		h.at[p] = 0
	}
	return nil
}
