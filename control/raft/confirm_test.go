package raft

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestReadsShareLeadershipChecks: ten thousand reads that come while a check is under way share the
// next one, and none of them shares the one that had begun before.
func TestReadsShareLeadershipChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readers = 10_000
		var checks, answered atomic.Int64
		release := make(chan error)
		c := &confirmer{verify: func() error {
			checks.Add(1)
			return <-release
		}}
		read := func() {
			if err := c.confirm(t.Context()); err == nil {
				answered.Add(1)
			}
		}
		go read()
		synctest.Wait() // its check is under way
		for range readers {
			go read()
		}
		synctest.Wait()
		release <- nil
		synctest.Wait()
		if a := answered.Load(); a != 1 {
			t.Errorf("%d reads were answered by a check that began before they came", a-1)
		}
		release <- nil
		synctest.Wait()
		if c, a := checks.Load(), answered.Load(); c != 2 || a != readers+1 {
			t.Errorf("%d checks for %d answered reads", c, a)
		}
		go read()
		synctest.Wait()
		release <- errors.New("deposed")
		synctest.Wait()
		if a := answered.Load(); a != readers+1 {
			t.Error("a failed check answered a read")
		}
	})
}

func TestReadGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan error)
		c := &confirmer{verify: func() error { return <-release }}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.confirm(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		release <- nil
	})
}
