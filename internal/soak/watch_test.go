package soak

import (
	"errors"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
)

// TestWatcherFindsTimesWithoutService plays records with a clock of its own.
func TestWatcherFindsTimesWithoutService(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	now := start
	w := newWatcher(func() time.Time { return now })
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	one, two := bench.Stamp{Stream: 1}, bench.Stamp{Stream: 2}

	// Stream 1 is answered after three seconds, while stream 2 goes on until the first second.
	now = at(0)
	w.Sent(one)
	w.Sent(two)
	now = at(1)
	w.Acked(two)
	w.Consumed(two)
	now = at(2)
	if produce, read := w.waiting(); produce != 2*time.Second || read != 0 {
		t.Errorf("waiting = %v, %v; want 2s, 0", produce, read)
	}
	now = at(3)
	w.Acked(one)
	// Nothing is owed now: a quiet time is no time without service.
	now = at(60)
	w.Consumed(one)
	w.Sent(one)
	now = at(60.1)
	w.Acked(one)

	type found struct {
		reading, whole bool
		from, to       float64
	}
	want := []found{
		{false, false, 0, 1}, {false, true, 0, 1}, // stream 2, all
		{false, false, 0, 3}, {false, true, 1, 3}, // stream 1, all
		{true, false, 3, 60}, {true, true, 3, 60},
	}
	got := w.between(start, at(100))
	if len(got) != len(want) {
		t.Fatalf("found %d gaps, want %d: %v", len(got), len(want), got)
	}
	for i, g := range got {
		f := found{g.reading, g.whole, g.from.Sub(start).Seconds(), g.to.Sub(start).Seconds()}
		if f != want[i] {
			t.Errorf("gap %d is %+v, want %+v", i, f, want[i])
		}
	}
	if late := w.between(at(2), at(3)); len(late) != 2 || late[0].length() != time.Second {
		t.Errorf("of the third second: %v", late)
	}
	if early := w.between(at(2), at(2.5)); len(early) != 0 {
		t.Errorf("of half a second of it: %v", early)
	}
}

// TestReadBeforeItsAcknowledgement: what came early is not owed.
func TestReadBeforeItsAcknowledgement(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	w := newWatcher(func() time.Time { return now })
	s := bench.Stamp{Stream: 1}
	w.Sent(s)
	w.Consumed(s)
	w.Acked(s)
	now = now.Add(time.Hour)
	if produce, read := w.waiting(); produce != 0 || read != 0 {
		t.Errorf("waiting = %v, %v", produce, read)
	}
	w.Sent(s)
	w.Refused(s, errors.New("no"))
	if w.refused != 1 || w.first == "" {
		t.Errorf("refused %d, %q", w.refused, w.first)
	}
}
