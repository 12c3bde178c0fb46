package bench

import (
	"runtime"
	"testing"
	"time"
)

func TestLedgerCountsWhatWentWrong(t *testing.T) {
	type step struct {
		read bool
		seq  uint64
	}
	ack, read := func(n uint64) step { return step{false, n} }, func(n uint64) step { return step{true, n} }
	for name, c := range map[string]struct {
		steps []step
		want  Counts
	}{
		"in order":             {[]step{ack(0), read(0), ack(1), read(1)}, Counts{Acked: 2, Consumed: 2}},
		"read before its ack":  {[]step{read(0), ack(0)}, Counts{Acked: 1, Consumed: 1}},
		"lost":                 {[]step{ack(0), ack(1), read(1)}, Counts{Acked: 2, Consumed: 1, Lost: 1}},
		"duplicated":           {[]step{ack(0), read(0), read(0)}, Counts{Acked: 1, Consumed: 1, Duplicated: 1}},
		"reordered":            {[]step{ack(0), ack(1), read(1), read(0)}, Counts{Acked: 2, Consumed: 2, Reordered: 1}},
		"unacknowledged comes": {[]step{read(7)}, Counts{Consumed: 1}},
		"acknowledged twice":   {[]step{ack(3), ack(3), read(3)}, Counts{Acked: 1, Consumed: 1}},
	} {
		l := NewLedger()
		for _, s := range c.steps {
			if s.read {
				l.Consumed(1, s.seq)
			} else {
				l.Acked(1, s.seq)
			}
		}
		if got := l.Counts(); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestStampReadsBack(t *testing.T) {
	want := Stamp{Stream: 7, Sequence: 1 << 40, Due: time.Unix(1_700_000_000, 42)}
	got, ok := ReadStamp(append(want.Append(nil), "payload"...))
	if !ok || got.Stream != want.Stream || got.Sequence != want.Sequence || !got.Due.Equal(want.Due) {
		t.Errorf("ReadStamp = %+v, %v; want %+v", got, ok, want)
	}
	if _, ok := ReadStamp([]byte("short")); ok {
		t.Error("a short value was taken for a stamp")
	}
}

// FuzzLedger reads records of strangers: whatever a value says of itself, following it takes memory for what was
// acknowledged and read, not for what it claims.
func FuzzLedger(f *testing.F) {
	f.Add(Stamp{Stream: 1, Sequence: 2, Due: time.Unix(3, 4)}.Append(nil))
	f.Add(Stamp{Stream: 1, Sequence: 1<<64 - 1}.Append(Stamp{Stream: 1, Sequence: 5}.Append(nil)))
	f.Add(Stamp{Stream: 1 << 31, Sequence: 1 << 62, Due: time.Unix(3, 4)}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		l := NewLedger()
		for ; len(b) > 0; b = b[min(len(b), StampSize):] {
			if s, ok := ReadStamp(b); ok {
				l.Consumed(s.Stream, s.Sequence)
			}
		}
		l.Counts()
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20+1000*uint64(len(b)) {
			t.Errorf("%d bytes were allocated", took)
		}
	})
}
