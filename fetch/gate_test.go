package fetch

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// limit refuses GETs above so many a second, and counts.
type limit struct {
	mu               sync.Mutex
	perSecond        int
	second, used     int64
	sent, letThrough int
}

func (l *limit) ask(context.Context, int, string) error {
	time.Sleep(20 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now().Unix(); now != l.second {
		l.second, l.used = now, 0
	}
	l.used++
	l.sent++
	if l.used > int64(l.perSecond) {
		return objstore.ErrThrottled
	}
	l.letThrough++
	return nil
}

// TestThrottledBucket: readers of history ask a bucket that throttles for far more than it gives. It is asked for hardly
// more than that, nobody is told an error, and what is read of the tail comes before all that they wait for.
func TestThrottledBucket(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events", "orders")
		h := w.handler(func(c *Config, _ *Deps) { c.PrefetchBytes, c.ReadTimeout = 0, time.Minute })
		const objects = 240
		for i := range uint64(objects) {
			w.produce(frame{w.partition("events", int32(i%4)), []record.Batch{batchOf(i, 1, 20_000)}})
		}
		l := &limit{perSecond: 8}
		w.set(func() { w.onGet = l.ask })
		serve(t, h, w.request(12, 0, 1, 1<<20, ask{"orders", 0, 0, 1 << 20}))
		var cold sync.WaitGroup
		for i := range int32(4) {
			cold.Go(func() {
				p := only(t, serve(t, h, w.request(12, 100, 1, 50<<20, ask{"events", i, 0, 50 << 20})))
				if p.ErrorCode != 0 || len(p.RecordBatches) < objects/4*20_000 {
					t.Errorf("history of %d: code %d, %d bytes", i, p.ErrorCode, len(p.RecordBatches))
				}
			})
		}
		for i := range uint64(15) {
			time.Sleep(time.Second)
			w.produce(frame{w.partition("orders", 0), []record.Batch{batchOf(i, 1, 100)}})
			start := time.Now()
			p := only(t, serve(t, h, w.request(12, 5000, 1, 1<<20, ask{"orders", 0, topic.Offset(i), 1 << 20})))
			if took := time.Since(start); p.ErrorCode != 0 || len(p.RecordBatches) == 0 || took > 1500*time.Millisecond {
				t.Errorf("tail %d: code %d, %d bytes after %s", i, p.ErrorCode, len(p.RecordBatches), took)
			}
		}
		cold.Wait()
		// Before the first refusal nothing is known, so that a burst of all that may run at once is refused.
		if most := l.letThrough*12/10 + h.cfg.ColdReads; l.sent > most {
			t.Errorf("%d GETs for %d that were let through, at most %d", l.sent, l.letThrough, most)
		}
		if l.letThrough != objects+15 {
			t.Errorf("%d GETs let through for %d objects", l.letThrough, objects+15)
		}
	})
}

// TestGatesOfShares: a bucket that throttles holds up no other, and after a time without refusals nothing.
func TestGatesOfShares(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newWorld(t, "events").handler().reader
		enter := func(share string) time.Duration {
			start := time.Now()
			if _, err := r.admit(t.Context(), share, tailClass); err != nil {
				t.Error(err)
			}
			return time.Since(start)
		}
		r.admitted("a", true)
		if took := enter("a"); took < time.Second {
			t.Errorf("let in after %s by a bucket that lets nothing through", took)
		}
		if took := enter("b"); took != 0 {
			t.Errorf("let in after %s by another bucket", took)
		}
		time.Sleep(10 * time.Second)
		enter("a")
		if took := enter("a"); took != 0 {
			t.Errorf("let in after %s, long after the last refusal", took)
		}
	})
}

// TestWhoLeavesTheGate: who no longer waits takes no turn from those behind.
func TestWhoLeavesTheGate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newWorld(t, "events").handler().reader
		r.admitted("a", true)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, err := r.admit(ctx, "a", coldClass); err == nil {
					t.Error("let in after it had gone")
				}
			})
		}
		time.Sleep(time.Millisecond)
		cancel()
		all.Wait()
		start := time.Now()
		if _, err := r.admit(t.Context(), "a", coldClass); err != nil || time.Since(start) > 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}
