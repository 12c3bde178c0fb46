package faultstore

import (
	"context"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
	"github.com/isthmusdata/isthmus/internal/objstore/storetest"
)

// TestConformance: without faults, and with a sleep that takes no time, the wrappers change nothing.
func TestConformance(t *testing.T) {
	at := time.Now()
	instant := Options{
		Now:   func() time.Time { return at },
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
	for _, p := range Profiles() {
		p.PutRate, p.GetRate = 0, 0 // the clock stands still, so every call is in the same second
		t.Run(p.Name, func(t *testing.T) {
			storetest.Run(t, func(*testing.T) objstore.Store { return NewLatency(memstore.New(nil), p, instant) })
		})
	}
	t.Run("no faults", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) objstore.Store { return NewFaults(memstore.New(nil), nil, instant) })
	})
}
