package raft

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"log/slog"
	"sync"
	"time"
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

// StoreClock asks the bucket's clock: the modification time of an object just written, which a
// bucket of files takes from its file system and S3 from its servers. Prefix is <cluster>/meta/clock.
func StoreClock(store Claims, prefix string, log *slog.Logger) SecondClock {
	return func(ctx context.Context) (time.Time, error) {
		var raw [12]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return time.Time{}, fmt.Errorf("draw a name for a clock object: %w", err)
		}
		key := prefix + "/" + hex.EncodeToString(raw[:])
		body := []byte("written to learn the time; may be deleted\n")
		if err := store.PutNew(ctx, key, [][]byte{body}, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))); err != nil {
			return time.Time{}, fmt.Errorf("write clock object %s: %w", key, err)
		}
		info, err := store.Head(ctx, key)
		if gone := store.Delete(ctx, key); gone != nil {
			log.Warn("clock object is left behind", "key", key, "error", gone)
		}
		if err != nil {
			return time.Time{}, fmt.Errorf("read clock object %s: %w", key, err)
		}
		return info.Modified, nil
	}
}
