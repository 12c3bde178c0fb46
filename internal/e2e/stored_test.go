//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	recordbytes "github.com/isthmusdata/isthmus/internal/record"
)

// storedBatch is one batch as it lies in a topic, its records unpacked.
type storedBatch struct {
	partition int32
	base      int64
	codec     string
	latest    int64 // the largest timestamp of its records
	records   []storedRecord
}

type storedRecord struct{ key, value string }

// admin is a client of the fetch-only group, of a version whose Fetch names topics.
func (c *cluster) admin(t *testing.T) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap(c.analytics)...), kgo.MaxVersions(kversion.V3_0_0()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// stored reads a topic's batches by Fetch requests of the test's own, without a client library between.
func (c *cluster) stored(t *testing.T, topic string) []storedBatch {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := c.admin(t)
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatalf("ask where %s ends: %v", topic, err)
	}
	var all []storedBatch
	for partition, end := range ends[topic] {
		for next := int64(0); next < end.Offset; {
			frame, err := fetchRaw(ctx, client, topic, partition, next)
			if err != nil {
				t.Fatalf("fetch %s/%d from %d: %v", topic, partition, next, err)
			}
			for len(frame) > 0 {
				var batch recordbytes.Batch
				if batch, frame, err = recordbytes.Split(frame); err != nil {
					t.Fatalf("%s/%d at %d: %v", topic, partition, next, err)
				}
				b := unpack(t, partition, batch)
				all = append(all, b)
				next = b.base + int64(len(b.records))
			}
		}
	}
	return all
}

func fetchRaw(ctx context.Context, client *kgo.Client, topic string, partition int32, offset int64) ([]byte, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 1000, 1, 8<<20
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 8<<20
	req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	answer, err := client.SeedBrokers()[0].RetriableRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	resp := answer.(*kmsg.FetchResponse)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("the answer names %d topics, code %d", len(resp.Topics), resp.ErrorCode)
	}
	got := resp.Topics[0].Partitions[0]
	return got.RecordBatches, kerr.ErrorForCode(got.ErrorCode)
}

func unpack(t *testing.T, partition int32, batch recordbytes.Batch) storedBatch {
	t.Helper()
	if err := recordbytes.VerifyRecords(batch, 64<<20); err != nil {
		t.Fatalf("batch of partition %d: %v", partition, err)
	}
	b := storedBatch{partition: partition, base: batch.BaseOffset(), codec: recordbytes.CodecName(batch.Codec()), latest: batch.MaxTimestamp()}
	for r, err := range recordbytes.Records(batch, 64<<20) {
		if err != nil {
			t.Fatalf("batch at %d of partition %d: %v", b.base, partition, err)
		}
		b.records = append(b.records, storedRecord{string(r.Key), string(r.Value)})
	}
	return b
}

// committed is the sum of a group's offsets in a topic.
func (c *cluster) committed(t *testing.T, group, topic string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client := c.admin(t)
	defer client.Close()
	offsets, err := kadm.NewClient(client).FetchOffsets(ctx, group)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		t.Fatalf("ask for the offsets of group %s: %v", group, err)
	}
	sum := int64(0)
	for _, o := range offsets[topic] {
		sum += o.At
	}
	return sum
}

// offsetsAfter are the first offsets of a topic's partitions whose batches are not older than a moment; -1 for none.
func (c *cluster) offsetsAfter(t *testing.T, topic string, partitions int, moment int64) map[int32]int64 {
	t.Helper()
	found := make(map[int32]int64)
	for p := range partitions {
		found[int32(p)] = -1
	}
	for _, b := range c.stored(t, topic) {
		if found[b.partition] < 0 && b.latest >= moment {
			found[b.partition] = b.base
		}
	}
	return found
}

// requestsOf are the Kafka requests that an agent has served, by name.
func requestsOf(t *testing.T, a *agent) map[string]float64 {
	t.Helper()
	response, err := http.Get("http://" + a.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	counts := make(map[string]float64)
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), `isthmus_wire_requests_total{api="`)
		if !ok {
			continue
		}
		api, count, _ := strings.Cut(rest, `"} `)
		if counts[api], err = strconv.ParseFloat(count, 64); err != nil {
			t.Fatalf("metrics of %s: %q: %v", a.http, lines.Text(), err)
		}
	}
	if len(counts) == 0 {
		t.Fatalf("the metrics of %s count no requests", a.http)
	}
	return counts
}
