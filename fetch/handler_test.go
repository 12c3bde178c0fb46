package fetch

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/record/recordtest"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// batchOf makes a batch of n records of size bytes.
func batchOf(seed uint64, n, size int) record.Batch {
	return recordtest.Batch(recordtest.Options{Records: n, Size: size, Seed: seed, Time: int64(1000 * seed), Step: 1})
}

// read consumes a partition from offset to the high watermark at the time, and returns its bytes.
func read(t *testing.T, w *world, h wire.Handler, version int16, a ask, maxBytes int32) []byte {
	t.Helper()
	var out []byte
	for {
		p := only(t, serve(t, h, w.request(version, 10, 1, maxBytes, a)))
		if p.ErrorCode != 0 {
			t.Fatalf("offset %d: code %d", a.offset, p.ErrorCode)
		}
		if p.RecordBatches == nil {
			t.Fatal("null records")
		}
		if len(p.RecordBatches) == 0 {
			return out
		}
		for rest := p.RecordBatches; len(rest) > 0; {
			b, more, err := record.Split(rest)
			if err != nil {
				t.Fatalf("a batch was cut: %v", err)
			}
			if topic.Offset(b.BaseOffset()) > a.offset {
				t.Fatalf("gap: batch at %d, wanted %d", b.BaseOffset(), a.offset)
			}
			a.offset = topic.Offset(b.BaseOffset()) + topic.Offset(b.LastOffsetDelta()) + 1
			rest = more
		}
		out = append(out, p.RecordBatches...)
	}
}

// TestConsumersReadWhatWasWritten lets random batches in and reads them back with random
// limits, versions, starts and cache sizes: I9 on the whole path.
func TestConsumersReadWhatWasWritten(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 1))
				w := newWorld(t, "events", "orders")
				h := w.handler(func(c *Config, d *Deps) {
					if seed%3 == 1 { // chunks smaller than objects, and hardly any memory
						c.MaxChunk, c.ChunkAlign, c.CacheBytes, c.ColdCacheBytes = 8<<10, 4<<10, 16<<10, 16<<10
						c.FlightBytes, c.ColdFlightBytes, c.CoalesceGap = 16<<10, 16<<10, 1<<10
					}
					c.PlanBytes = 16 << 10
				})
				produceSome := func() {
					for range 1 + rng.IntN(5) {
						var frames []frame
						for _, name := range []string{"events", "orders"} {
							for i := range int32(4) {
								f := frame{partition: w.partition(name, i)}
								for range rng.IntN(4) {
									w.sequence++ // only to vary the seed of the bytes
									f.batches = append(f.batches, recordtest.Batch(recordtest.Options{Records: 1 + rng.IntN(9),
										Size: 1 + rng.IntN(700)*rng.IntN(4), Seed: w.sequence, Idempotent: rng.IntN(2) == 0, ProducerID: 9, Sequence: int32(w.sequence)}))
								}
								if len(f.batches) > 0 {
									frames = append(frames, f)
								}
							}
						}
						if len(frames) > 0 {
							w.produce(frames...)
						}
					}
				}
				for range 6 {
					produceSome()
					name, index := []string{"events", "orders"}[rng.IntN(2)], int32(rng.IntN(4))
					p := w.partition(name, index)
					high := w.logs[p].high
					start := topic.Offset(0)
					if high > 0 {
						start = topic.Offset(rng.Int64N(int64(high)))
					}
					limit := int32(rng.IntN(5000))
					version := int16(4 + rng.IntN(14))
					got := read(t, w, h, version, ask{name, index, start, limit}, limit+int32(rng.IntN(2000)))
					if want := w.from(p, start); !bytes.Equal(got, want) {
						t.Fatalf("%s/%d from %d: read %d bytes, wanted %d", name, index, start, len(got), len(want))
					}
				}
			})
		})
	}
}

// TestOneGetPerSegment: eight consumers that wait at the end are woken by a segment and share
// one GET of it.
func TestOneGetPerSegment(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		w.onGet = func(ctx context.Context, _ int, _ string) error { time.Sleep(20 * time.Millisecond); return nil }
		h := w.handler()
		const segments = 5
		var consumers sync.WaitGroup
		for range 8 {
			consumers.Go(func() {
				offset := topic.Offset(0)
				for offset < segments*10 {
					p := only(t, serve(t, h, w.request(12, 60_000, 1, 1<<20, ask{"events", 0, offset, 1 << 20})))
					for rest := p.RecordBatches; len(rest) > 0; {
						b, more, err := record.Split(rest)
						if err != nil {
							t.Error(err)
							return
						}
						offset += topic.Offset(b.NumRecords())
						rest = more
					}
				}
			})
		}
		for i := range uint64(segments) {
			time.Sleep(200 * time.Millisecond)
			w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(i, 10, 5000)}})
		}
		consumers.Wait()
		if n := w.getCount(); n != segments {
			t.Errorf("%d GETs for %d segments and 8 consumers", n, segments)
		}
	})
}

// TestLongPoll: an idle fetch lasts max_wait, asks for nothing meanwhile, and is woken by news.
func TestLongPoll(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		serve(t, h, w.request(11, 100, 1, 1<<20, ask{"events", 0, 0, 1 << 20}))
		plans, start := w.plans, time.Now()
		p := only(t, serve(t, h, w.request(11, 700, 1, 1<<20, ask{"events", 0, 0, 1 << 20})))
		if d := time.Since(start); d != 700*time.Millisecond || p.ErrorCode != 0 || p.HighWatermark != 0 {
			t.Errorf("idle fetch took %s, code %d, high watermark %d", d, p.ErrorCode, p.HighWatermark)
		}
		if w.plans != plans {
			t.Errorf("%d questions while idle", w.plans-plans)
		}
		go func() {
			time.Sleep(50 * time.Millisecond)
			w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(1, 1, 100)}})
			time.Sleep(150 * time.Millisecond)
			w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(2, 1, 100)}})
		}()
		start = time.Now()
		p = only(t, serve(t, h, w.request(11, 700, 300, 1<<20, ask{"events", 0, 0, 1 << 20})))
		if d := time.Since(start); d != 200*time.Millisecond || p.HighWatermark != 2 {
			t.Errorf("min_bytes met after %s with high watermark %d, wanted 200ms and 2", d, p.HighWatermark)
		}
	})
}

// TestOffsets: what is said of offsets outside the log, and of topics that are not there.
func TestOffsets(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events", "__consumer_offsets")
		w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(1, 5, 10), batchOf(2, 5, 10)}})
		w.logs[w.partition("events", 0)].start = 5
		h := w.handler()
		for _, c := range []struct {
			what string
			ver  int16
			ask  ask
			code int16
			took time.Duration
		}{
			{"inside", 12, ask{"events", 0, 7, 1 << 20}, 0, 0},
			{"at the end", 12, ask{"events", 0, 10, 1 << 20}, 0, 800 * time.Millisecond},
			{"below the log start", 12, ask{"events", 0, 4, 1 << 20}, codeOutOfRange, 0},
			{"above the end", 12, ask{"events", 0, 11, 1 << 20}, codeOutOfRange, 0},
			{"below zero", 12, ask{"events", 0, -5, 1 << 20}, codeOutOfRange, 0},
			{"no such topic", 12, ask{"ghosts", 0, 0, 1 << 20}, codeUnknownTopic, 500 * time.Millisecond},
			{"no such topic id", 13, ask{"ghosts", 0, 0, 1 << 20}, codeUnknownID, 500 * time.Millisecond},
			{"no such partition", 12, ask{"events", 9, 0, 1 << 20}, codeUnknownTopic, 500 * time.Millisecond},
			{"the internal topic", 12, ask{"__consumer_offsets", 0, 0, 1 << 20}, 0, 800 * time.Millisecond},
		} {
			start := time.Now()
			p := only(t, serve(t, h, w.request(c.ver, 800, 1, 1<<20, c.ask)))
			if d := time.Since(start); p.ErrorCode != c.code || d != c.took {
				t.Errorf("%s: code %d after %s, wanted %d after %s", c.what, p.ErrorCode, d, c.code, c.took)
			}
			if c.code != 0 && (p.HighWatermark != -1 || p.LogStartOffset != -1 || p.LastStableOffset != -1) {
				t.Errorf("%s: offsets %d %d %d beside an error", c.what, p.LogStartOffset, p.LastStableOffset, p.HighWatermark)
			}
			if c.code == 0 && p.HighWatermark != p.LastStableOffset {
				t.Errorf("%s: last stable %d, high watermark %d", c.what, p.LastStableOffset, p.HighWatermark)
			}
		}
	})
}

// TestBeyondIsAsked: an agent that missed news does not call an offset out of range.
func TestBeyondIsAsked(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		e := w.partition("events", 0)
		w.produce(frame{e, []record.Batch{batchOf(1, 5, 10)}})
		serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 0, 1 << 20}))
		w.set(func() { w.deaf = true }) // the push is lost
		w.produce(frame{e, []record.Batch{batchOf(2, 5, 10)}})
		p := only(t, serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 7, 1 << 20})))
		if p.ErrorCode != 0 || len(p.RecordBatches) == 0 || p.HighWatermark != 10 {
			t.Errorf("code %d, %d bytes, high watermark %d", p.ErrorCode, len(p.RecordBatches), p.HighWatermark)
		}
	})
}

// TestControlPlaneAway: what is held is served; what is not known is not made up.
func TestControlPlaneAway(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(1, 5, 10)}}, frame{w.partition("events", 1), []record.Batch{batchOf(2, 5, 10)}})
		serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 0, 1 << 20}))
		w.set(func() { w.away, w.deaf = true, true })
		held := only(t, serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 0, 1 << 20})))
		if held.ErrorCode != 0 || len(held.RecordBatches) == 0 {
			t.Errorf("held records: code %d, %d bytes", held.ErrorCode, len(held.RecordBatches))
		}
		start := time.Now()
		unknown := only(t, serve(t, h, w.request(12, 2000, 1, 1<<20, ask{"events", 1, 0, 1 << 20})))
		if unknown.ErrorCode != codeStorage || unknown.HighWatermark != -1 || time.Since(start) < errorHold {
			t.Errorf("partition never read: code %d, high watermark %d after %s", unknown.ErrorCode, unknown.HighWatermark, time.Since(start))
		}
		beyond := only(t, serve(t, h, w.request(12, 2000, 1, 1<<20, ask{"events", 0, 99, 1 << 20})))
		if beyond.ErrorCode != 0 || beyond.HighWatermark != 5 {
			t.Errorf("beyond the known end: code %d, high watermark %d", beyond.ErrorCode, beyond.HighWatermark)
		}
		both := serve(t, h, w.request(12, 2000, 1, 1<<20, ask{"events", 0, 0, 1 << 20}, ask{"events", 1, 0, 1 << 20}))
		if n := len(both.Topics[0].Partitions[0].RecordBatches); n == 0 {
			t.Error("a partition that is not known keeps held records back")
		}
	})
}

// TestAFailedQuestionIsAskedAgain: a reader of history whose question failed is not left to wait for news of
// the end, which may never come.
func TestAFailedQuestionIsAskedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(1, 5, 10)}})
		serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 5, 1 << 20})) // so that the end is known, and no more
		w.set(func() { w.away = true })
		time.AfterFunc(2*time.Second, func() { w.set(func() { w.away = false }) })
		start := time.Now()
		p := only(t, serve(t, h, w.request(12, 60_000, 1, 1<<20, ask{"events", 0, 0, 1 << 20})))
		if took := time.Since(start); len(p.RecordBatches) == 0 || took > 5*time.Second {
			t.Errorf("code %d, %d bytes after %s", p.ErrorCode, len(p.RecordBatches), took)
		}
	})
}

// TestGoneIsPlannedAgain: compaction moved the records while an agent still held the old place (I7).
func TestGoneIsPlannedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		e := w.partition("events", 0)
		serve(t, h, w.request(12, 10, 1, 1<<20, ask{"events", 0, 0, 1 << 20}))
		old := w.produce(frame{e, []record.Batch{batchOf(1, 5, 10)}})
		synctest.Wait()
		w.mu.Lock()
		body, l := w.objects[old], w.logs[e]
		delete(w.objects, old)
		moved := l.locations[0]
		moved.Object.Nonce = segment.Nonce{99}
		l.locations[0] = moved
		w.objects[segment.Key(cluster, moved.Object)] = body
		w.mu.Unlock()
		p := only(t, serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 0, 1 << 20})))
		if p.ErrorCode != 0 || !bytes.Equal(p.RecordBatches, w.from(e, 0)) {
			t.Errorf("code %d, %d bytes", p.ErrorCode, len(p.RecordBatches))
		}
		w.mu.Lock()
		clear(w.objects)
		h.reader.cache = newCache(&h.cfg)
		w.mu.Unlock()
		start := time.Now()
		p = only(t, serve(t, h, w.request(12, 600, 1, 1<<20, ask{"events", 0, 0, 1 << 20})))
		if p.ErrorCode != codeStorage || time.Since(start) != errorHold {
			t.Errorf("object gone for good: code %d after %s", p.ErrorCode, time.Since(start))
		}
	})
}

// TestGoneBehindWhatIsAnswered: the second of a partition's objects is gone. The bytes of the first are part of the answer by then:
// they are neither given back before it is written nor answered twice, and the client gets the rest by its next request.
func TestGoneBehindWhatIsAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler(func(c *Config, _ *Deps) { c.CacheBytes, c.ColdCacheBytes = 1, 1 }) // what nobody holds is spoiled at once
		e := w.partition("events", 0)
		serve(t, h, w.request(12, 10, 1, 1<<20, ask{"events", 0, 0, 1 << 20}))
		w.produce(frame{e, []record.Batch{batchOf(1, 1, 2*smallBatch)}}) // not copied into the answer
		old := w.produce(frame{e, []record.Batch{batchOf(2, 1, 2*smallBatch)}})
		synctest.Wait()
		w.set(func() {
			moved := &w.logs[e].locations[1]
			moved.Object.Nonce = segment.Nonce{99}
			w.objects[segment.Key(cluster, moved.Object)] = w.objects[old]
			delete(w.objects, old)
		})
		got := only(t, serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 0, 1 << 20}))).RecordBatches
		if want := w.from(e, 0); len(got) == 0 || !bytes.HasPrefix(want, got) {
			t.Fatalf("%d bytes that are not the first of the %d that were written", len(got), len(want))
		}
		got = append(got, only(t, serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 1, 1 << 20}))).RecordBatches...)
		if !bytes.Equal(got, w.from(e, 0)) {
			t.Errorf("%d bytes by two requests, not the %d that were written", len(got), len(w.from(e, 0)))
		}
	})
}

// TestCorruptChunk: a fault on the way is read over; a fault at rest is an error of the partition alone.
func TestCorruptChunk(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		e := w.partition("events", 0)
		key := w.produce(frame{e, []record.Batch{batchOf(1, 5, 100)}}, frame{w.partition("events", 1), []record.Batch{batchOf(2, 5, 100)}})
		at := w.logs[e].locations[0].Position + 100
		w.spoil = func(n int, data []byte) []byte {
			if n == 1 {
				data[at] ^= 1
			}
			return data
		}
		p := only(t, serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 0, 1 << 20})))
		if p.ErrorCode != 0 || !bytes.Equal(p.RecordBatches, w.from(e, 0)) || w.getCount() != 2 {
			t.Errorf("code %d, %d bytes, %d GETs", p.ErrorCode, len(p.RecordBatches), w.getCount())
		}
		w.mu.Lock()
		w.objects[key][at] ^= 1
		h.reader.cache = newCache(&h.cfg)
		w.mu.Unlock()
		resp := serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 0, 1 << 20}, ask{"events", 1, 0, 1 << 20}))
		bad, good := resp.Topics[0].Partitions[0], resp.Topics[0].Partitions[1]
		if bad.ErrorCode != codeStorage || good.ErrorCode != 0 || len(good.RecordBatches) == 0 {
			t.Errorf("corrupt: code %d; its neighbour: code %d, %d bytes", bad.ErrorCode, good.ErrorCode, len(good.RecordBatches))
		}
	})
}

// TestHedge: a GET that hangs is asked again, once enough are known to be fast.
func TestHedge(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		var slow atomic.Int64
		w.onGet = func(ctx context.Context, n int, _ string) error {
			d := 20 * time.Millisecond
			if n == int(slow.Load()) {
				d = 5 * time.Second
			}
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for i := range uint64(30) {
			w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(i, 1, 100)}})
			if i == 29 {
				slow.Store(int64(w.getCount() + 1))
			}
			start := time.Now()
			p := only(t, serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, topic.Offset(i), 1 << 20})))
			if d := time.Since(start); p.ErrorCode != 0 || len(p.RecordBatches) == 0 || d > 50*time.Millisecond {
				t.Fatalf("record %d: code %d after %s", i, p.ErrorCode, d)
			}
		}
	})
}

// TestRetries: errors that may pass are tried again, others are not.
func TestRetries(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(1, 1, 100)}})
		w.onGet = func(_ context.Context, n int, _ string) error {
			if n <= 3 {
				return objstore.ErrThrottled
			}
			return nil
		}
		p := only(t, serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 0, 1 << 20})))
		if p.ErrorCode != 0 || len(p.RecordBatches) == 0 || w.getCount() != 4 {
			t.Errorf("code %d after %d GETs", p.ErrorCode, w.getCount())
		}
		w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(2, 1, 100)}})
		w.set(func() { w.onGet = func(context.Context, int, string) error { return objstore.ErrDenied } })
		p = only(t, serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 1, 1 << 20})))
		if p.ErrorCode != codeStorage || w.getCount() != 5 {
			t.Errorf("denied: code %d after %d GETs", p.ErrorCode, w.getCount()-4)
		}
	})
}

// TestLeaderEpoch: the epoch that a client knows is compared with the incarnation (KIP-320), and
// a new incarnation makes the agent forget the old one's ends.
func TestLeaderEpoch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		w.incarnation = 3
		h := w.handler()
		e := w.partition("events", 0)
		w.produce(frame{e, []record.Batch{batchOf(1, 5, 10)}})
		for epoch, code := range map[int32]int16{-1: 0, 3: 0, 2: codeFencedEpoch, 4: codeUnknownEpoch} {
			req := w.request(12, 100, 1, 1<<20, ask{"events", 0, 0, 1 << 20})
			req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
			if p := only(t, serve(t, h, req)); p.ErrorCode != code {
				t.Errorf("epoch %d: code %d, wanted %d", epoch, p.ErrorCode, code)
			}
		}
		w.mu.Lock()
		w.incarnation = 4
		w.logs[e] = &worldLog{}
		w.mu.Unlock()
		p := only(t, serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 0, 1 << 20})))
		if p.ErrorCode != 0 || p.HighWatermark != 0 {
			t.Errorf("restored: code %d, high watermark %d, wanted 0", p.ErrorCode, p.HighWatermark)
		}
	})
}

// TestMaxBytes: soft limits, whole batches, and a first batch whatever its size.
func TestMaxBytes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(1, 1, 9000), batchOf(2, 1, 9000)}},
			frame{w.partition("events", 1), []record.Batch{batchOf(3, 1, 100), batchOf(4, 1, 100)}})
		sizes := func(maxBytes, partMax int32) string {
			var out []string
			resp := serve(t, h, w.request(12, 100, 1, maxBytes, ask{"events", 0, 0, partMax}, ask{"events", 1, 0, partMax}))
			for _, p := range resp.Topics[0].Partitions {
				n := 0
				for rest := p.RecordBatches; len(rest) > 0; n++ {
					var err error
					if _, rest, err = record.Split(rest); err != nil {
						t.Fatal(err)
					}
				}
				out = append(out, fmt.Sprint(n))
			}
			return strings.Join(out, " ")
		}
		for _, c := range []struct {
			max, part int32
			want      string
		}{
			{1 << 20, 1 << 20, "2 2"},
			{0, 0, "1 0"},
			{1, 1 << 20, "1 0"},
			{1 << 20, 1, "1 0"},
			{1 << 20, 200, "1 1"},
			{10_000, 1 << 20, "1 0"},
			{18_200, 1 << 20, "2 0"},
			{20_000, 1 << 20, "2 2"},
		} {
			if got := sizes(c.max, c.part); got != c.want {
				t.Errorf("max_bytes %d, of a partition %d: %s batches, wanted %s", c.max, c.part, got, c.want)
			}
		}
	})
}

// TestSlowWriters: answers that are not written hold their chunks; others wait for the memory
// and get it once they are.
func TestSlowWriters(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler(func(c *Config, _ *Deps) {
			c.MaxChunk, c.ColdCacheBytes, c.ColdFlightBytes = 20<<10, 1, 20<<10
			c.CacheBytes, c.FlightBytes, c.PrefetchBytes = 1, 20<<10, 0
		})
		for i := range uint64(2) {
			w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(i, 1, 15_000)}})
		}
		var done func()
		replies := make(chan wire.Reply, 1)
		first := w.request(12, 100, 1, 1<<20, ask{"events", 0, 0, 100})
		h.Serve(t.Context(), &wire.Request{Key: 1, Version: 12, Body: first}, func(r wire.Reply) { replies <- r })
		done = (<-replies).Done
		start := time.Now()
		time.AfterFunc(3*time.Second, done)
		p := only(t, serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 1, 100})))
		if d := time.Since(start); p.ErrorCode != 0 || len(p.RecordBatches) == 0 || d != 3*time.Second {
			t.Errorf("code %d, %d bytes after %s", p.ErrorCode, len(p.RecordBatches), d)
		}
	})
}

// TestRefuse: 29 for every partition in every version, held back.
func TestRefuse(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		api := Refusal{Group: "prod", Roles: []string{"produce"}}.API()
		for version := api.Min; version <= api.Max; version++ {
			start := time.Now()
			p := only(t, serve(t, api.Handler, w.request(version, 200, 1, 1<<20, ask{"events", 0, 0, 1 << 20})))
			if p.ErrorCode != codeUnauthorized || p.RecordBatches == nil || time.Since(start) != 200*time.Millisecond {
				t.Errorf("version %d: code %d after %s", version, p.ErrorCode, time.Since(start))
			}
		}
	})
}

// TestRefine: the first record at or after a time, inside a location.
func TestRefine(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		e := w.partition("events", 0)
		w.produce(frame{e, []record.Batch{
			recordtest.Batch(recordtest.Options{Records: 3, Time: 100, Step: 10, Codec: record.CodecZstd}),
			recordtest.Batch(recordtest.Options{Records: 3, Time: 200, Step: 10, Codec: record.CodecLZ4}),
			recordtest.Batch(recordtest.Options{Records: 2, Time: 300, Step: 10, LogAppendTime: true}),
		}})
		for ts, want := range map[int64][2]int64{0: {0, 100}, 100: {0, 100}, 101: {1, 110}, 120: {2, 120}, 121: {3, 200}, 215: {5, 220}, 221: {6, 310}, 311: {-1, 0}} {
			offset, at, err := h.Refine(t.Context(), w.logs[e].locations[0], ts)
			if err != nil || int64(offset) != want[0] || at != want[1] {
				t.Errorf("time %d: offset %d at %d (%v), wanted %d", ts, offset, at, err, want)
			}
		}
	})
}

// TestStreamBreaks: when the watch breaks, fetches at the end ask for the end, and a new stream
// takes over.
func TestStreamBreaks(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		e := w.partition("events", 0)
		fetch := func(offset topic.Offset) (int, time.Duration) {
			start := time.Now()
			p := only(t, serve(t, h, w.request(12, 500, 1, 1<<20, ask{"events", 0, offset, 1 << 20})))
			if p.ErrorCode != 0 {
				t.Fatalf("code %d", p.ErrorCode)
			}
			return len(p.RecordBatches), time.Since(start)
		}
		fetch(0)
		w.set(func() { w.deaf, w.refuseWatch = true, true })
		w.breakWatches()
		synctest.Wait()
		w.produce(frame{e, []record.Batch{batchOf(1, 1, 10)}})
		if n, d := fetch(0); n == 0 || d != 0 {
			t.Errorf("without a stream: %d bytes after %s", n, d)
		}
		w.set(func() { w.deaf, w.refuseWatch = false, false })
		time.Sleep(10 * time.Second)
		go func() {
			time.Sleep(100 * time.Millisecond)
			w.produce(frame{e, []record.Batch{batchOf(2, 1, 10)}})
		}()
		if n, d := fetch(1); n == 0 || d != 100*time.Millisecond {
			t.Errorf("with a new stream: %d bytes after %s", n, d)
		}
	})
}

// TestRecreatedTopic: a name that stands for another topic now is followed; an id is not.
func TestRecreatedTopic(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		old := w.partition("events", 0)
		serve(t, h, w.request(12, 10, 1, 1<<20, ask{"events", 0, 0, 1 << 20}))
		byID := w.request(13, 10, 1, 1<<20, ask{"events", 0, 0, 1 << 20})
		w.set(func() {
			w.stale = w.topics[0]
			w.topics[0].ID = topic.ID{9}
			delete(w.logs, old)
			w.logs[topic.Partition{Topic: topic.ID{9}}] = &worldLog{}
			w.watches[0].push([]*segment.Event{{Partition: old, Removed: true}})
		})
		w.produce(frame{w.partition("events", 0), []record.Batch{batchOf(1, 1, 10)}})
		p := only(t, serve(t, h, w.request(12, 10, 1, 1<<20, ask{"events", 0, 0, 1 << 20})))
		if p.ErrorCode != 0 || len(p.RecordBatches) == 0 {
			t.Errorf("by name: code %d, %d bytes", p.ErrorCode, len(p.RecordBatches))
		}
		if p := only(t, serve(t, h, byID)); p.ErrorCode != codeUnknownID {
			t.Errorf("by id: code %d", p.ErrorCode)
		}
	})
}

// TestColdReadersKeepApart: while readers of history wait for a slow store, the tail is served;
// and what they will want next is read ahead.
func TestColdReadersKeepApart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events", "orders")
		h := w.handler(func(c *Config, _ *Deps) { c.ColdReads, c.PrefetchBytes, c.ReadTimeout = 2, 50_000, time.Minute })
		for i := range uint64(20) {
			w.produce(frame{w.partition("events", int32(i%4)), []record.Batch{batchOf(i, 1, 20_000)}})
		}
		slow := map[string]bool{}
		for key := range w.objects {
			slow[key] = true
		}
		w.onGet = func(_ context.Context, _ int, key string) error {
			if slow[key] {
				time.Sleep(3 * time.Second)
			}
			return nil
		}
		serve(t, h, w.request(12, 0, 1, 1<<20, ask{"orders", 0, 0, 1 << 20}))
		var cold sync.WaitGroup
		for i := range int32(4) {
			cold.Go(func() {
				p := only(t, serve(t, h, w.request(12, 10, 1, 1<<20, ask{"events", i, 0, 100})))
				if p.ErrorCode != 0 || len(p.RecordBatches) == 0 {
					t.Errorf("history: code %d", p.ErrorCode)
				}
			})
		}
		time.Sleep(time.Second)
		w.produce(frame{w.partition("orders", 0), []record.Batch{batchOf(1, 1, 100)}})
		start := time.Now()
		p := only(t, serve(t, h, w.request(12, 100, 1, 1<<20, ask{"orders", 0, 0, 1 << 20})))
		if p.ErrorCode != 0 || len(p.RecordBatches) == 0 || time.Since(start) != 0 {
			t.Errorf("tail: code %d, %d bytes after %s", p.ErrorCode, len(p.RecordBatches), time.Since(start))
		}
		cold.Wait()
		time.Sleep(time.Minute)
		gets := w.getCount()
		start = time.Now()
		p = only(t, serve(t, h, w.request(12, 100, 1, 1<<20, ask{"events", 0, 1, 100})))
		if p.ErrorCode != 0 || len(p.RecordBatches) == 0 || time.Since(start) != 0 {
			t.Errorf("read ahead: code %d, %d bytes after %s, %d GETs more", p.ErrorCode, len(p.RecordBatches), time.Since(start), w.getCount()-gets)
		}
	})
}

// TestTooManyPartitions: a request beyond the bound closes its connection.
func TestTooManyPartitions(t *testing.T) {
	w := newWorld(t, "events")
	h := w.handler(func(c *Config, _ *Deps) { c.MaxRequestPartitions = 2 })
	req := w.request(12, 0, 0, 0, ask{"events", 0, 0, 1}, ask{"events", 1, 0, 1}, ask{"events", 2, 0, 1})
	closed := false
	h.Serve(t.Context(), &wire.Request{Key: 1, Version: 12, Body: req}, func(r wire.Reply) { closed = r.Close })
	if !closed {
		t.Error("served")
	}
}

// TestHangingUpIsNotReported: a client that goes while its records are read leaves no warning, and a bucket
// that does not give them leaves one a topic, however many partitions were asked for.
func TestHangingUpIsNotReported(t *testing.T) {
	for _, c := range []struct {
		name    string
		hangsUp bool
		lines   int
	}{{"the client hangs up", true, 0}, {"the bucket denies", false, 1}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "t")
			var log bytes.Buffer
			h := w.handler(func(_ *Config, d *Deps) {
				d.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w.set(func() {
				w.onGet = func(context.Context, int, string) error {
					if !c.hangsUp {
						return objstore.ErrDenied
					}
					cancel()
					<-ctx.Done()
					return context.Canceled
				}
			})
			w.produce(frame{w.partition("t", 0), []record.Batch{batchOf(1, 1, 10)}}, frame{w.partition("t", 1), []record.Batch{batchOf(2, 1, 10)}})
			req := w.request(12, 10, 1, 1<<20, ask{"t", 0, 0, 1 << 20}, ask{"t", 1, 0, 1 << 20})
			replies := make(chan wire.Reply, 1)
			h.Serve(ctx, &wire.Request{Key: 1, Version: req.Version, Body: req}, func(r wire.Reply) { replies <- r })
			if r := <-replies; r.Done != nil {
				r.Done()
			}
			if n := strings.Count(log.String(), "records could not be read"); n != c.lines {
				t.Errorf("%d warnings, want %d:\n%s", n, c.lines, log.String())
			}
		})
	}
}
