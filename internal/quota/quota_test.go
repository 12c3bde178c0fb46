package quota

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func TestSharesOfAGroup(t *testing.T) {
	l := Limits{BytesIn: 10, BytesOut: 9, Requests: 1, Connections: 0}
	for agents, want := range map[int]Limits{
		0: l, 1: l, 3: {BytesIn: 4, BytesOut: 3, Requests: 1}, 100: {BytesIn: 1, BytesOut: 1, Requests: 1},
	} {
		if got := l.Share(agents); got != want {
			t.Errorf("each of %d agents may %+v; wanted %+v", agents, got, want)
		}
	}
	if got := (Limits{BytesIn: math.MaxInt64}).Share(2).BytesIn; got != 1<<62 {
		t.Errorf("half of what is most is %d", got)
	}
}

// TestDebts plays one bucket of 100 a second by hand.
func TestDebts(t *testing.T) {
	var b Bucket
	if w := b.Take(start, math.MaxInt64); w != 0 || b.Left(start) != math.MaxInt64 {
		t.Errorf("without a bound it waits %s", w)
	}
	b.Set(start, 100)
	for i, c := range []struct {
		at   time.Duration
		n    int64
		want time.Duration
	}{
		{0, 0, 0},                                // no credit yet
		{0, 50, 500 * time.Millisecond},          // half a second's worth
		{0, 50, time.Second},                     // and again
		{time.Second, 0, 0},                      // paid
		{time.Hour, 100, 0},                      // a burst, and not an hour's worth
		{time.Hour, 10, 100 * time.Millisecond},  // nothing is left of it
		{2 * time.Hour, 1_000_000, MostWait},     // forgiven beyond a minute
		{2*time.Hour + time.Minute, 0, 0},        // paid
		{2*time.Hour + 61*time.Second, 100, 0},   // a second later, a second's worth
		{3 * time.Hour, math.MaxInt64, MostWait}, // no overflow
	} {
		if got := b.Take(start.Add(c.at), c.n); got != c.want {
			t.Errorf("step %d: waits %s; wanted %s", i, got, c.want)
		}
	}
	if l := b.Left(start.Add(3 * time.Hour)); l != 0 {
		t.Errorf("in debt, %d are left", l)
	}
	if l := b.Left(start.Add(4 * time.Hour)); l != 100 {
		t.Errorf("out of debt, %d are left", l)
	}
}

// TestADebtStaysWhenTheRateChanges: 100 units owed are 100 units at any rate.
func TestADebtStaysWhenTheRateChanges(t *testing.T) {
	var b Bucket
	b.Set(start, 100)
	b.Take(start, 100)
	b.Set(start, 50)
	if w := b.Take(start, 0); w != 2*time.Second {
		t.Errorf("at half the rate it waits %s", w)
	}
	b.Set(start, 200)
	if w := b.Take(start, 0); w != 500*time.Millisecond {
		t.Errorf("at twice the rate it waits %s", w)
	}
	b.Set(start, 0)
	if w := b.Take(start, 1<<40); w != 0 {
		t.Errorf("the bound is gone, and it waits %s", w)
	}
	b.Set(start, 10)
	if w := b.Take(start, 1); w != 100*time.Millisecond {
		t.Errorf("under a new bound it waits %s", w)
	}
}

// TestTheRateHolds: who waits as told spends no more than the rate, one burst and one request.
func TestTheRateHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Bucket
		rate := rapid.Int64Range(1, 1_000_000).Draw(t, "rate")
		b.Set(start, rate)
		now, spent, largest := start, int64(0), int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "pause")))
			n := rapid.Int64Range(0, rate*30).Draw(t, "size")
			spent, largest = spent+n, max(largest, n)
			if spent > int64(now.Sub(start).Seconds()*float64(rate))+rate+largest+1 {
				t.Fatalf("%d were spent in %s at %d a second", spent, now.Sub(start), rate)
			}
			now = now.Add(b.Take(now, n))
		}
	})
}
