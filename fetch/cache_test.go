package fetch

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/internal/segment"
)

// TestCacheBounds: whatever is begun, joined, filled, failed, dropped and released, a class
// holds no more than it may, a range being read is never begun twice by one who looks first,
// and at the end everything is accounted for (I10).
func TestCacheBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Default()
		cfg.CacheBytes, cfg.FlightBytes, cfg.ColdCacheBytes, cfg.ColdFlightBytes = 100, 50, 40, 30
		c := newCache(&cfg)
		var flying, held []*piece
		drawn := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(t, name) }
		take := func(list *[]*piece, i int) *piece {
			p := (*list)[i]
			*list = append((*list)[:i:i], (*list)[i+1:]...)
			return p
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch drawn("step", 6) {
			case 0, 1: // look, and begin what is not there
				o := segment.Object{ID: segment.ID{Sequence: uint64(drawn("object", 4))}}
				from := int64(drawn("from", 50))
				s := span{from, from + 1 + int64(drawn("size", 60))}
				cl := class(drawn("class", classes))
				if p := c.find(o, s, cl); p != nil {
					if !p.holds(s) || !p.listed {
						t.Fatalf("found %v for %v", p.span, s)
					}
					held = append(held, p)
					continue
				}
				ahead := drawn("ahead", 4) == 0
				if p := c.begin(o, s, cl, "", ahead); p != nil {
					flying = append(flying, p)
					if again := c.find(o, s, cl); again != p {
						t.Fatal("a range being read is not joined")
					} else {
						held = append(held, p)
					}
				}
			case 2:
				if len(flying) > 0 {
					p := take(&flying, drawn("flight", len(flying)))
					if drawn("fails", 4) == 0 {
						c.fill(p, nil, nil, errors.New("failed"))
					} else {
						c.fill(p, make([]byte, p.size()), nil, nil)
					}
				}
			case 3, 4:
				if len(held) > 0 {
					c.release(take(&held, drawn("held", len(held))))
				}
			case 5:
				if len(held) > 0 {
					if p := held[drawn("corrupt", len(held))]; p.done {
						c.drop(p)
					}
				}
			}
			c.check(t)
		}
		for len(flying) > 0 {
			c.fill(take(&flying, 0), nil, nil, errors.New("failed"))
		}
		for len(held) > 0 {
			c.release(take(&held, 0))
		}
		c.check(t)
		for i := range c.shares {
			if sh := &c.shares[i]; sh.used != sh.idle || sh.used > sh.cacheBytes {
				t.Fatalf("class %d at the end: %d used, %d idle", i, sh.used, sh.idle)
			}
		}
	})
}

func (c *cache) check(t *rapid.T) {
	var idle, listed, ahead [classes]int64
	for o, held := range c.pieces {
		for _, p := range held {
			if p.object != o || !p.listed {
				t.Fatal("a piece stands where it must not")
			}
			listed[p.class] += p.size()
			if p.refs == 0 {
				idle[p.class] += p.size()
			}
			if p.ahead {
				ahead[p.class] += p.size()
			}
		}
	}
	for i := range c.shares {
		sh := &c.shares[i]
		if sh.idle != idle[i] || sh.ahead != ahead[i] || sh.used < listed[i] || sh.idle > sh.cacheBytes || sh.ahead > sh.cacheBytes/2 {
			t.Fatalf("class %d: used %d idle %d ahead %d, counted %d %d %d", i, sh.used, sh.idle, sh.ahead, listed[i], idle[i], ahead[i])
		}
	}
	// Alone, one larger than the bound is let in; these never are that large.
	if c.shares[tailClass].used > 150 || c.shares[coldClass].used > 70 {
		t.Fatalf("used %d and %d", c.shares[tailClass].used, c.shares[coldClass].used)
	}
}

// TestCacheOrder: the least recently used goes first; a reader of history does not count as use
// of the tail; a batch above the bound is read alone.
func TestCacheOrder(t *testing.T) {
	cfg := Default()
	cfg.CacheBytes, cfg.FlightBytes = 30, 10
	c := newCache(&cfg)
	object := func(i uint64) segment.Object { return segment.Object{ID: segment.ID{Sequence: i}} }
	load := func(i uint64, size int64) bool {
		p := c.begin(object(i), span{0, size}, tailClass, "", false)
		if p == nil {
			return false
		}
		c.fill(p, make([]byte, size), nil, nil)
		return true
	}
	there := func() (out string) {
		for i := range uint64(9) {
			if c.covered(object(i), span{0, 1}) {
				out += fmt.Sprint(i)
			}
		}
		return out
	}
	for i := range uint64(3) {
		load(i, 10)
	}
	c.release(c.find(object(0), span{0, 10}, tailClass))
	c.release(c.find(object(1), span{0, 10}, coldClass))
	load(3, 10)
	if got := there(); got != "023" {
		t.Errorf("held %s after a fourth, wanted 023", got)
	}
	held := c.find(object(0), span{2, 3}, tailClass)
	if !load(4, 30) || there() != "04" {
		t.Errorf("held %s beside one in use, wanted 04", there())
	}
	if load(5, 40) {
		t.Error("40 bytes beside 10 in use, of 40")
	}
	c.release(held)
	if !load(6, 1000) {
		t.Error("a large one is not let in alone")
	}
	if there() != "" {
		t.Errorf("held %s: the large one is more than the cache may keep", there())
	}
}

// TestChunks: a small object is one chunk, a large one aligned ranges.
func TestChunks(t *testing.T) {
	cfg := Default()
	cfg.MaxChunk, cfg.ChunkAlign, cfg.CoalesceGap = 100, 40, 5
	for _, c := range []struct {
		size, pos, length uint32
		want              span
	}{
		{100, 10, 20, span{0, 100}},
		{1000, 10, 20, span{0, 40}},
		{1000, 40, 40, span{40, 80}},
		{1000, 39, 42, span{0, 120}},
		{1000, 990, 10, span{960, 1000}},
	} {
		l := segment.Location{Size: c.size, Position: c.pos, Length: c.length, Records: 1}
		if got := chunkOf(&cfg, &l); got != c.want || !got.holds(spanOf(&l)) {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if l := (segment.Location{Size: 10, Position: 8, Length: 3, Records: 1}); fits(&l) {
		t.Error("a location past the end of its object fits")
	}
	got := coalesce([]span{{50, 60}, {0, 10}, {15, 20}, {26, 30}, {17, 18}}, 5)
	if fmt.Sprint(got) != "[{0 20} {26 30} {50 60}]" {
		t.Errorf("coalesced to %v", got)
	}
	for _, c := range []struct {
		seen  bool
		asked []span
		want  string
	}{
		{false, []span{{0, 10}, {30, 40}}, "[{0 10} {30 40}]"},
		{false, []span{{0, 30}, {30, 60}}, "[{0 100}]"},
		{true, []span{{0, 10}}, "[{0 100}]"},
	} {
		if got := fmt.Sprint(coldSpans(&cfg, span{0, 100}, c.asked, c.seen)); got != c.want {
			t.Errorf("cold read of %v (seen %v): %s, wanted %s", c.asked, c.seen, got, c.want)
		}
	}
}

// TestHedger: nine of ten, by size, within the budget.
func TestHedger(t *testing.T) {
	h := hedger{budget: 10, floor: 5 * time.Millisecond}
	for i := range 100 {
		if _, may := h.begin(1000); may != (i >= hedgeLeast) {
			t.Fatalf("GET %d: hedged %v", i, may)
		}
		h.end(1000, time.Duration(i%10+1)*10*time.Millisecond)
	}
	if d, _ := h.begin(1000); d != 90*time.Millisecond && d != 100*time.Millisecond {
		t.Errorf("hedge after %s", d)
	}
	if _, may := h.begin(16 << 20); may {
		t.Error("a size of which nothing is known is hedged")
	}
	spent := 0
	for range 100 {
		if h.spend() {
			spent++
		}
	}
	if spent != 10 {
		t.Errorf("%d hedges for 102 GETs", spent)
	}
	for range 100 {
		h.end(1000, time.Microsecond)
	}
	if d, _ := h.begin(1000); d != 5*time.Millisecond {
		t.Errorf("hedge after %s, below the floor", d)
	}
}

// TestConfig: every fault is reported at once, in the same order.
func TestConfig(t *testing.T) {
	cfg := Default()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	bad := Config{MaxChunk: 5, HedgeBudget: 200, PrefetchBytes: -1}
	err := bad.Validate()
	again := bad.Validate()
	if err == nil || err.Error() != again.Error() {
		t.Fatalf("%v\n%v", err, again)
	}
	if n := len(err.(interface{ Unwrap() []error }).Unwrap()); n < 20 {
		t.Errorf("%d faults: %v", n, err)
	}
}
