package main

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// run of ten seconds, whose bucket throttles from the third to the fifth.
func throttledForTest() Throttled {
	c := throttled{writes: 2, reads: 3, before: 3 * time.Second, limited: 3 * time.Second}
	counts := make([]requests, 11)
	for i := range 10 {
		counts[i+1] = counts[i]
		counts[i+1].puts += 5
		if i >= 3 && i < 6 {
			counts[i+1].putRefused++
		}
	}
	short, calm := newTimeline(1000), newTimeline(1000)
	for range 10 {
		for _, line := range []*timeline{short, calm} {
			line.seconds = append(line.seconds, &second{produced: histogram(), consumed: histogram()})
		}
	}
	for i, ms := range []int64{100, 100, 100, 900, 900, 900, 900, 160, 100, 100} {
		_ = short.seconds[i].consumed.RecordValue(ms * 1000) // within its bounds
		_ = calm.seconds[i].consumed.RecordValue(100_000)
		short.seconds[i].acked, calm.seconds[i].read = 1000, 2000
	}
	return c.sum(counts, map[string]*timeline{"short": short, "calm": calm})
}

func TestThrottledFigures(t *testing.T) {
	r := throttledForTest()
	if want := 5. / 4; r.PutsForEach != want {
		t.Errorf("%v PUT sent for each that was let through, want %v", r.PutsForEach, want)
	}
	if r.RecoverySeconds != 2 {
		t.Errorf("well again after %d s, want 2", r.RecoverySeconds)
	}
	near := func(got, want float64) bool { return got > want*0.98 && got < want*1.02 }
	if s := r.ShortEndToEnd; !near(s.Before, 100) || !near(s.During, 900) || !near(s.After, 160) {
		t.Errorf("throttled share: %+v", s)
	}
	if s := r.CalmEndToEnd; !near(s.During, 100) {
		t.Errorf("other share: %+v", s)
	}
	if m := r.Moments[4]; !m.Limited || m.Puts != 5 || m.PutRefused != 1 || m.Short.InMB != 1 || m.Calm.OutMB != 2 {
		t.Errorf("second 4: %+v", m)
	}
}

func TestPlotIsSVG(t *testing.T) {
	r := throttledForTest()
	svg, err := r.plot()
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("no XML: %v", err)
		}
	}
	for _, text := range []string{"<svg", "PUT refused", "other, end to end"} {
		if !strings.Contains(string(svg), text) {
			t.Errorf("the plot does not say %q", text)
		}
	}
}

// batchOf makes as much of a record batch as a historian looks at.
func batchOf(first int64, records, size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint64(b, uint64(first))
	binary.BigEndian.PutUint32(b[batchLength:], uint32(size-beforeLength))
	binary.BigEndian.PutUint32(b[lastOffset:], uint32(records-1))
	return b
}

func TestHistorianFollowsBatches(t *testing.T) {
	fresh := func() (*historian, map[int32]bool) {
		return &historian{topic: "t", read: new(atomic.Int64), at: map[int32]int64{0: 7}, end: map[int32]int64{0: 30}}, map[int32]bool{}
	}
	h, aligned := fresh()
	if err := h.take(0, append(batchOf(5, 5, 100), batchOf(10, 10, 80)...), aligned); err != nil || h.at[0] != 20 || h.read.Load() != 180 {
		t.Errorf("at %d after %d bytes: %v", h.at[0], h.read.Load(), err)
	}
	if err := h.take(0, batchOf(20, 10, 70), aligned); err != nil || h.at[0] != 0 {
		t.Errorf("at %d, not at the beginning again: %v", h.at[0], err)
	}
	if err := h.take(0, batchOf(3, 10, 70), aligned); err == nil {
		t.Error("a gap was not noticed")
	}
	h, aligned = fresh()
	if err := h.take(0, batchOf(5, 5, 100)[:90], aligned); err == nil {
		t.Error("a batch that is cut was not noticed")
	}
}
