package fetch

import (
	"sync"

	"github.com/isthmusdata/isthmus/internal/sched"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// line holds the Fetch requests of one connection: one is looked at, the others have not been begun. No
// client has several on their way, and one that sends many small ones for a session of many partitions would
// else take the memory of all of them at once. Their number is bounded by the connection's requests in flight.
type line struct {
	mu      sync.Mutex
	waiting []func()
	running bool
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

func (l *line) push(s sched.Sched, f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, f)
	if !l.running {
		l.running = true
		s.Go(l.run)
	}
}

func (l *line) run() {
	for {
		l.mu.Lock()
		if len(l.waiting) == 0 {
			l.waiting, l.running = nil, false
			l.mu.Unlock()
			return
		}
		f := l.waiting[0]
		l.waiting = l.waiting[1:]
		l.mu.Unlock()
		f()
	}
}
