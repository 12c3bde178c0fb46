package raft

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// SecondClock tells the time of a clock that is not this machine's.
type SecondClock func(context.Context) (time.Time, error)

// clock is state time on the leader: it starts at an election and then moves with the monotonic clock.
type clock struct {
	mono func() time.Duration
	wall func() time.Time

	mu    sync.Mutex
	base  int64 // state time at since, Unix milliseconds
	since time.Duration
	last  int64 // the latest stamp; no stamp is below it
}

// set moves state time on to at, if that is ahead, and counts from now on.
func (c *clock) set(at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.since = max(at, c.last), c.mono()
	c.last = c.base
}

// now is the state time of this moment.
func (c *clock) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, c.base+(c.mono()-c.since).Milliseconds())
	return c.last
}

// confirm follows the wall clock, which a person has confirmed, and returns its time.
func (c *clock) confirm() int64 {
	c.set(c.wall().UnixMilli())
	return c.now()
}

// judge decides at an election where state time starts, from the state's last stamp and the wall
// clock, both Unix milliseconds. A wall clock that is behind is not followed: time goes on from last.
// One that is ahead by more than jump is followed only if a second clock agrees within jump: the time
// a cluster was down is such a jump. Otherwise time goes on from last as well, and what expires by it
// is frozen until a person confirms the clock.
func judge(last, wall int64, jump time.Duration, second func() (time.Time, error)) (start int64, frozen bool, why error) {
	if last == 0 || wall <= last+jump.Milliseconds() {
		return max(last, wall), false, nil
	}
	seen, err := second()
	if err != nil {
		return last, true, fmt.Errorf("no second clock answers: %w", err)
	}
	if apart := time.Duration(wall-seen.UnixMilli()) * time.Millisecond; apart.Abs() > jump {
		return last, true, fmt.Errorf("a second clock says %s", seen.UTC().Format(time.RFC3339))
	}
	return wall, false, nil
}

// bucketClock asks the bucket for its time: S3's servers, or the file system of a bucket of files.
func bucketClock(store any) SecondClock {
	return func(ctx context.Context) (time.Time, error) {
		if c, ok := store.(objstore.Clocked); ok {
			return c.Clock(ctx)
		}
		return time.Time{}, errors.New("the bucket has no clock")
	}
}
