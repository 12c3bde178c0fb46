package faultstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// Limit is what a bucket lets through: so many requests a second of all its keys together, as a young bucket that has not
// been divided yet. The rest is answered ErrThrottled.
type Limit struct {
	Writes, Reads int
	After         time.Duration // since the store was opened; before, nothing is refused
	For           time.Duration // from then on; 0: for good
}

// ParseLimit reads WRITES[:READS[:AFTER:FOR]]; without READS they are as many as WRITES.
func ParseLimit(text string) (Limit, error) {
	fields := strings.Split(text, ":")
	if n := len(fields); n != 1 && n != 2 && n != 4 {
		return Limit{}, fmt.Errorf("%q is not a limit: write WRITES, WRITES:READS or WRITES:READS:AFTER:FOR, such as 5:20:10s:30s", text)
	}
	var l Limit
	var err error
	if l.Writes, err = parseRate(fields[0]); err != nil {
		return Limit{}, err
	}
	if l.Reads = l.Writes; len(fields) > 1 {
		if l.Reads, err = parseRate(fields[1]); err != nil {
			return Limit{}, err
		}
	}
	if len(fields) == 4 {
		for i, d := range []*time.Duration{&l.After, &l.For} {
			if *d, err = time.ParseDuration(fields[2+i]); err != nil || *d < 0 || *d > maxTime {
				return Limit{}, fmt.Errorf("%q is not a time from 0 to %v", fields[2+i], maxTime)
			}
		}
	}
	return l, nil
}

func parseRate(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1_000_000 {
		return 0, fmt.Errorf("%q is not a number of requests a second from 0 to 1000000", text)
	}
	return n, nil
}

// String is what ParseLimit reads.
func (l Limit) String() string {
	return fmt.Sprintf("%d:%d:%v:%v", l.Writes, l.Reads, l.After, l.For)
}

// limiter is the hook that refuses what is one too many.
type limiter struct {
	limit   Limit
	options Options
	opened  time.Time

	mu     sync.Mutex
	second int64 // Unix, that what was let through is counted for
	passed struct{ writes, reads int }
}

// NewThrottle lets no more requests to a store than a limit.
func NewThrottle(inner objstore.Store, limit Limit, o Options) *Store {
	o = o.withDefaults()
	return &Store{inner: inner, hook: &limiter{limit: limit, options: o, opened: o.Now()}}
}

func (l *limiter) around(ctx context.Context, c call, do func(context.Context) (int64, error)) error {
	if err := objstore.Ended(ctx, c.op, c.key); err != nil {
		return err
	}
	if l.pass(c.write) {
		_, err := do(ctx)
		return err
	}
	if l.options.Sleep(ctx, throttleTime) != nil {
		return objstore.Lost(ctx, c.op, c.key, false) // nothing was carried out
	}
	return &objstore.Error{Op: c.op, Name: c.key, Class: objstore.ErrThrottled,
		Cause: fmt.Errorf("more than %d writes or %d reads a second", l.limit.Writes, l.limit.Reads), Try: "send less"}
}

// pass reports whether a request is let through.
func (l *limiter) pass(write bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.options.Now()
	if since := now.Sub(l.opened); since < l.limit.After || l.limit.For > 0 && since >= l.limit.After+l.limit.For {
		return true
	}
	if second := now.Unix(); second != l.second {
		l.second, l.passed.writes, l.passed.reads = second, 0, 0
	}
	count, most := &l.passed.reads, l.limit.Reads
	if write {
		count, most = &l.passed.writes, l.limit.Writes
	}
	if *count >= most {
		return false
	}
	*count++
	return true
}

func (l *limiter) close() {}
