package client

import (
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/meter"
)

// TestTeller: what is told are sums since the session began; what was not heard is told again, and so is the last word for a while.
func TestTeller(t *testing.T) {
	var tell teller
	now := time.Unix(1_000_000, 0)
	puts := func(n int64) []meter.Total {
		total := meter.Total{Share: "orders"}
		total.Counts[meter.PutBytes] = n
		return []meter.Total{total, {Share: "unused"}}
	}
	for i, c := range []struct {
		after   time.Duration
		session uint64
		puts    int64
		last    bool // it is the last heartbeat
		want    int64
		heard   bool
	}{
		{0, 1, 0, false, -1, true},
		{meterPause, 1, 10, false, 10, true},
		{time.Second, 1, 15, false, -1, true}, // too soon
		{time.Second, 1, 15, true, 15, false}, // but for the last word, which is not heard
		{meterPause, 1, 15, false, 15, true},
		{meterPause, 1, 15, false, 15, true}, // repeated
		{meterRepeat, 1, 15, false, -1, true},
		{meterPause, 2, 15, false, -1, true}, // a new session, nothing new
		{meterPause, 2, 20, false, 5, false},
		{meterPause, 3, 21, false, 6, true}, // nobody knows whether session 2 was heard
		{meterPause, 3, 30, false, 15, true},
	} {
		now = now.Add(c.after)
		news := tell.news(now, c.session, puts(c.puts), c.last)
		got := int64(-1)
		if len(news) > 0 {
			got = news[0].GetTotals()[meter.PutBytes]
		}
		if got != c.want || len(news) > 1 {
			t.Errorf("step %d: %d, wanted %d; %d shares", i, got, c.want, len(news))
		}
		if c.heard {
			tell.hear(now, news)
		}
	}
}
