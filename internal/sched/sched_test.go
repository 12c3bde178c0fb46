package sched

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestWait: a channel, the time and the context each end a wait, and nothing else does.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Machine()
		token := make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		token <- struct{}{}
		if got := s.Wait(ctx, Never, nil, token); got != 1 || len(token) != 0 {
			t.Errorf("a token: %d, %d left", got, len(token))
		}
		if got := s.Wait(ctx, s.Now()+time.Second, nil, token); got != Late || s.Now() != time.Second {
			t.Errorf("a time: %d at %s", got, s.Now())
		}
		s.Go(func() { close(token) })
		if got := s.Wait(ctx, Never, token); got != 0 {
			t.Errorf("a closed channel: %d", got)
		}
		s.Go(cancel)
		if got := s.Wait(ctx, Never, nil); got != Over || Sleep(ctx, s, time.Second) {
			t.Errorf("an ended context: %d", got)
		}
		short, end := s.Timeout(t.Context(), time.Minute)
		defer end()
		if got := s.Wait(short, Never); got != Over || short.Err() != context.DeadlineExceeded || s.Now() != time.Minute+time.Second {
			t.Errorf("a timeout: %d at %s", got, s.Now())
		}
		for range 100 {
			if d := Jitter(s, time.Second); d < time.Second/2 || d >= 3*time.Second/2 {
				t.Errorf("jitter of %s", d)
			}
		}
	})
}
