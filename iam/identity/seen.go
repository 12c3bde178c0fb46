package identity

import (
	"sync"
	"time"
)

// How many proofs are remembered: of STS more than the overall rate lets through in their time, of issuers as many as
// need be refused before anybody's memory is at stake.
const (
	seenCalls  = 64 << 10
	seenTokens = 64 << 10
)

// seen remembers what was used until it is void anyway. When it is full of what is not, further ones are refused:
// forgetting one would let it be used twice.
type seen struct {
	most int

	mu    sync.Mutex
	until map[string]time.Time
	swept time.Time // the next sweep is a second later at the earliest
}

func newSeen(most int) *seen { return &seen{most: most, until: map[string]time.Time{}} }

// add notes that name is used, and says when it was already.
func (s *seen) add(now time.Time, name string, until time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if end, ok := s.until[name]; ok && end.After(now) {
		return failf(ErrRefused, "log in with a new proof", "this proof was used already")
	}
	if len(s.until) >= s.most && now.Sub(s.swept).Abs() >= time.Second {
		s.swept = now
		for n, end := range s.until {
			if !end.After(now) {
				delete(s.until, n)
			}
		}
	}
	if len(s.until) >= s.most {
		return failf(ErrLimited, "log in again in a few minutes", "%d proofs are remembered, which is as many as may be", len(s.until))
	}
	s.until[name] = until
	return nil
}
