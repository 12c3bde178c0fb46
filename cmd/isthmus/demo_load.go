package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/internal/bench"
)

const (
	demoTopic      = "game-events"
	demoPartitions = 6
	demoReaders    = "analytics-dashboard"
	demoPlayers    = 2000
	// demoRate is believable for a small game, and leaves a laptop its fan speed.
	demoRate = 400 // events a second
)

// gameEvent is what the demo's game servers tell. Stream, Sequence and Sent let the reader
// check that nothing was lost, duplicated or reordered.
type gameEvent struct {
	Event    string `json:"event"`
	Player   int    `json:"player"`
	Match    int    `json:"match"`
	Map      string `json:"map"`
	X        int    `json:"x,omitempty"`
	Y        int    `json:"y,omitempty"`
	Item     string `json:"item,omitempty"`
	Victim   int    `json:"victim,omitempty"`
	Stream   uint32 `json:"stream"`
	Sequence uint64 `json:"sequence"`
	Sent     int64  `json:"sent_unix_nanos"`
}

// nextEvent invents what a player does next.
func nextEvent(rng *rand.Rand) gameEvent {
	player := rng.IntN(demoPlayers)
	e := gameEvent{Player: player, Match: player / 20, Map: []string{"canal", "lagoon", "reef", "strait"}[player/20%4]}
	switch n := rng.IntN(100); {
	case n < 70:
		e.Event, e.X, e.Y = "move", rng.IntN(4096), rng.IntN(4096)
	case n < 85:
		e.Event, e.Item = "pickup", []string{"anchor", "compass", "lantern", "rope", "sextant"}[rng.IntN(5)]
	case n < 97:
		e.Event, e.Victim = "hit", rng.IntN(demoPlayers)
	default:
		e.Event = "respawn"
	}
	return e
}

// demoLoad is the demo's producer and consumer, and what they have seen.
type demoLoad struct {
	ledger *bench.Ledger

	mu       sync.Mutex
	produce  *hdrhistogram.Histogram // microseconds to the acknowledgement
	endToEnd *hdrhistogram.Histogram // microseconds from sent to consumed
	failed   error                   // the first record that was refused for good
	lastRead time.Time               // when the consumer was given a record last

	positions [demoPartitions]int64 // offsets that the consumer has read up to, by partition
	withdrawn bool                  // access was taken from the consumer once: its errors are expected, and only its counts judge
}

func newDemoLoad() *demoLoad {
	tenMinutes := int64(10 * time.Minute / time.Microsecond)
	return &demoLoad{ledger: bench.NewLedger(), produce: hdrhistogram.New(1, tenMinutes, 3), endToEnd: hdrhistogram.New(1, tenMinutes, 3)}
}

// write produces events until ctx ends, then waits until all are acknowledged.
func (l *demoLoad) write(ctx context.Context, brokers ...string) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.ClientID("game-server"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		// A client has five requests in flight at most: with a linger of a fifth of the agents'
		// flush interval or more, no record waits for a free one.
		kgo.ProducerLinger(50*time.Millisecond), kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		// Short, so that a killed agent is noticed and left within two seconds.
		kgo.MetadataMinAge(250*time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
	)
	if err != nil {
		return fmt.Errorf("start the demo's producer: %w", err)
	}
	defer client.Close()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	var next [demoPartitions]uint64
	ticker := time.NewTicker(time.Second / demoRate)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
			partition := rng.IntN(demoPartitions)
			l.send(client, partition, next[partition], nextEvent(rng))
			next[partition]++
		}
	}
	// Its own deadline: ctx is over, and what was sent is still to be acknowledged.
	flush, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := client.Flush(flush); err != nil {
		return fmt.Errorf("wait for the last acknowledgements: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *demoLoad) send(client *kgo.Client, partition int, sequence uint64, e gameEvent) {
	sent := time.Now()
	e.Stream, e.Sequence, e.Sent = uint32(partition), sequence, sent.UnixNano()
	value, err := json.Marshal(e)
	if err != nil {
		l.fail(err)
		return
	}
	record := &kgo.Record{Topic: demoTopic, Partition: int32(partition), Key: fmt.Appendf(nil, "player-%d", e.Player), Value: value}
	// The record outlives the command's context: a stop waits for what was sent.
	client.Produce(context.Background(), record, func(_ *kgo.Record, err error) {
		if err != nil {
			l.fail(fmt.Errorf("produce an event: %w", err))
			return
		}
		l.ledger.Acked(e.Stream, e.Sequence)
		l.measure(l.produce, time.Since(sent))
	})
}

// read consumes in a group until ctx ends.
func (l *demoLoad) read(ctx context.Context, brokers ...string) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.ClientID("dashboard"), kgo.ConsumerGroup(demoReaders), kgo.ConsumeTopics(demoTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(250*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		// It keeps its own place beside what it has counted: what it read between its last commit and the loss of its
		// access is not read again. And a topic that it may not see for a while is not gone.
		kgo.AdjustFetchOffsetsFn(l.resume), kgo.ConsiderMissingTopicDeletedAfter(24*time.Hour),
	)
	if err != nil {
		return fmt.Errorf("start the demo's consumer: %w", err)
	}
	defer client.Close()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(topic string, partition int32, err error) {
			if ctx.Err() == nil && !errors.Is(err, context.Canceled) && !l.expected() {
				l.fail(fmt.Errorf("consume %s/%d: %w", topic, partition, err))
			}
		})
		fetches.EachRecord(l.consumed)
	}
	return nil
}

func (l *demoLoad) consumed(r *kgo.Record) {
	var e gameEvent
	if err := json.Unmarshal(r.Value, &e); err != nil {
		l.fail(fmt.Errorf("an event at %s/%d offset %d does not read back: %w", r.Topic, r.Partition, r.Offset, err))
		return
	}
	l.ledger.Consumed(e.Stream, e.Sequence)
	l.mu.Lock()
	l.lastRead, l.positions[r.Partition] = time.Now(), r.Offset+1
	l.mu.Unlock()
	l.measure(l.endToEnd, time.Since(time.Unix(0, e.Sent)))
}

// resume begins where the consumer itself has read up to.
func (l *demoLoad) resume(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for partition := range offsets[demoTopic] {
		if at := l.positions[partition]; at > 0 {
			offsets[demoTopic][partition] = kgo.NewOffset().At(at)
		}
	}
	return offsets, nil
}

// withdraw is told that access is taken from the consumer.
func (l *demoLoad) withdraw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.withdrawn = true
}

func (l *demoLoad) expected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.withdrawn
}

// last is when the consumer was given a record last.
func (l *demoLoad) last() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastRead
}

func (l *demoLoad) measure(h *hdrhistogram.Histogram, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// More than the histogram's ten minutes counts as ten minutes.
	_ = h.RecordValue(min(max(d.Microseconds(), 1), h.HighestTrackableValue()))
}

func (l *demoLoad) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = err
	}
}

// latencies returns both percentiles in milliseconds.
func (l *demoLoad) latencies() (produce, endToEnd bench.Percentile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bench.Percentiles(l.produce), bench.Percentiles(l.endToEnd)
}
