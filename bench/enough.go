package main

import (
	"sync"
	"sync/atomic"

	"github.com/isthmusdata/isthmus/internal/bench"
)

// enough ends a load when so many records have been acknowledged.
type enough struct {
	left atomic.Int64
	once sync.Once
	come chan struct{}
}

func newEnough(records int64) *enough {
	e := &enough{come: make(chan struct{})}
	e.left.Store(records)
	return e
}

// Sent implements bench.Watcher.
func (e *enough) Sent(bench.Stamp) {}

// Refused implements bench.Watcher.
func (e *enough) Refused(bench.Stamp, error) {}

// Consumed implements bench.Watcher.
func (e *enough) Consumed(bench.Stamp) {}

// Acked implements bench.Watcher.
func (e *enough) Acked(bench.Stamp) {
	if e.left.Add(-1) <= 0 {
		e.once.Do(func() { close(e.come) })
	}
}
