// Package hubtest checks what a watch is told, for tests.
package hubtest

import (
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Reader follows one partition as an agent does: what it knows reaches from the last reset to end.
type Reader struct {
	Told   bool
	End    topic.Offset
	Resets int
}

// Read checks that an event continues what came before it.
func (r *Reader) Read(t interface{ Fatalf(string, ...any) }, e segment.Event) {
	switch {
	case e.Reset:
		r.Resets++
		if e.HighWatermark < r.End || len(e.Locations) > 0 {
			t.Fatalf("reset to %d with %d locations, known was %d", e.HighWatermark, len(e.Locations), r.End)
		}
		r.End = e.HighWatermark
	case !r.Told:
		r.End = e.HighWatermark
	}
	r.Told = true
	for _, l := range e.Locations {
		if l.Base != r.End {
			t.Fatalf("location from %d, known is up to %d", l.Base, r.End)
		}
		r.End = l.End()
	}
	if e.HighWatermark != r.End {
		t.Fatalf("high watermark %d, known is up to %d", e.HighWatermark, r.End)
	}
}
