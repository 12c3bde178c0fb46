package statetime

import (
	"fmt"
	"sync"
	"time"
)

// Clock is state time on the leader: it starts at an election and then moves with the monotonic clock.
type Clock struct {
	mono func() time.Duration
	wall func() time.Time

	mu    sync.Mutex
	base  int64 // state time at since, Unix milliseconds
	since time.Duration
	last  int64 // the latest stamp; no stamp is below it
}

// New makes a clock that stands at 0 until it is set. Only Confirm looks at wall.
func New(mono func() time.Duration, wall func() time.Time) *Clock {
	return &Clock{mono: mono, wall: wall}
}

// Set moves state time on to at, if that is ahead, and counts from now on.
func (c *Clock) Set(at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.since = max(at, c.last), c.mono()
	c.last = c.base
}

// Now is the state time of this moment.
func (c *Clock) Now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, c.base+(c.mono()-c.since).Milliseconds())
	return c.last
}

// Confirm follows the wall clock, which a person has confirmed, and returns its time.
func (c *Clock) Confirm() int64 {
	c.Set(c.wall().UnixMilli())
	return c.Now()
}

// Judge decides at an election where state time starts, from the state's last stamp and the wall
// clock, both Unix milliseconds. A wall clock that is behind is not followed: time goes on from last.
// One that is ahead by more than jump is followed only if a second clock agrees within jump: the time
// a cluster was down is such a jump. Otherwise time goes on from last as well, and what expires by it
// is frozen until a person confirms the clock; why says what the second clock said.
func Judge(last, wall int64, jump time.Duration, second func() (time.Time, error)) (start int64, frozen bool, why error) {
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
