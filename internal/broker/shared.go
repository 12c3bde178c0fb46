package broker

import (
	"context"
	"sync"
	"time"
)

// sharing makes one answer for all that ask the same while the one before it is being made: each is begun after
// the question came, so that it is as confirmed as one of its own would be. However many ask, making
// answers to one question takes at most a third of a processor.
type sharing struct {
	mu   sync.Mutex
	runs map[any]*sharedRun
}

type sharedRun struct {
	next *sharedAnswer // of those who have come since the present one was begun; nil: nobody
}

type sharedAnswer struct {
	done chan struct{}
	body []byte
}

// rest is how long a question rests after it has been answered, in times of what that took.
const rest = 2

// ask returns the answer to key, which build makes; all who share it share its bytes.
func (s *sharing) ask(ctx context.Context, key any, build func() []byte) ([]byte, error) {
	s.mu.Lock()
	if s.runs == nil {
		s.runs = map[any]*sharedRun{}
	}
	run := s.runs[key]
	if run == nil {
		run = &sharedRun{}
		s.runs[key] = run
		go s.run(key, run, build)
	}
	if run.next == nil {
		run.next = &sharedAnswer{done: make(chan struct{})}
	}
	answer := run.next
	s.mu.Unlock()
	select {
	case <-answer.done:
		return answer.body, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run makes answers to key until nobody asks.
func (s *sharing) run(key any, run *sharedRun, build func() []byte) {
	for {
		s.mu.Lock()
		answer := run.next
		if run.next = nil; answer == nil {
			delete(s.runs, key)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		start := time.Now()
		answer.body = build()
		close(answer.done)
		time.Sleep(rest * time.Since(start))
	}
}
