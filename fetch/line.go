package fetch

import (
	"sync"

	"github.com/isthmusdata/isthmus/internal/sched"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// line holds the Fetch requests of one connection: one is looked at, the others have not been begun, and one
// that others stand behind waits for no records. No client has several on their way, and one that sends many
// for a session of many partitions would else take the memory of all of them at once. Their number is
// bounded by the connection's requests in flight.
type line struct {
	mu      sync.Mutex
	now     *fetch // nil: no goroutine is running
	waiting []queued
}

type queued struct {
	f     *fetch
	serve func()
}

// lineOf is the line of a connection.
func lineOf(c *wire.Conn) *line {
	if l, ok := c.Value(lineKey{}).(*line); ok {
		return l
	}
	l := &line{}
	c.SetValue(lineKey{}, l) // the connection's reader is the only one to ask
	return l
}

type lineKey struct{}

// push has serve called when the requests before f are answered.
func (l *line) push(s sched.Sched, f *fetch, serve func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, queued{f, serve})
	if l.now != nil {
		l.now.hurry()
		return
	}
	l.now = f
	s.Go(l.run)
}

func (l *line) run() {
	for {
		l.mu.Lock()
		if len(l.waiting) == 0 {
			l.waiting, l.now = nil, nil
			l.mu.Unlock()
			return
		}
		q := l.waiting[0]
		if l.waiting, l.now = l.waiting[1:], q.f; len(l.waiting) > 0 {
			q.f.hurry()
		}
		l.mu.Unlock()
		q.serve()
	}
}
