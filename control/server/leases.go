package server

import (
	"slices"
	"sync"
	"time"
)

// leases are the sessions that live, each until a time on the leader's monotonic clock. They are in
// memory alone: an election gives every session a fresh one.
type leases struct {
	length time.Duration

	mu    sync.Mutex
	until map[uint64]time.Duration
}

func newLeases(length time.Duration) *leases {
	return &leases{length: length, until: map[uint64]time.Duration{}}
}

// reset begins a term: these sessions and no others have a lease.
func (l *leases) reset(sessions []uint64, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.until)
	for _, s := range sessions {
		l.until[s] = now + l.length
	}
}

// grant gives a session a lease.
func (l *leases) grant(session uint64, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until[session] = now + l.length
}

// drop forgets a session that has ended.
func (l *leases) drop(session uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.until, session)
}

// expired lists the sessions whose lease has run out, in order. They stay until they are dropped.
func (l *leases) expired(now time.Duration) []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []uint64
	for s, until := range l.until {
		if until <= now {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}
