package main

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// wallClock is the time of day as a process believes it to be.
type wallClock func() time.Time

// testClockEnv names a file that holds a number of milliseconds, which is added to the wall clock
// whenever that is read. It is for tests alone: they let a process's clock jump without touching the
// machine's. Durations are measured by the monotonic clock and do not notice.
const testClockEnv = "ISTHMUS_TEST_CLOCK"

// testClock returns the moved clock, or nil where the variable is not set.
func testClock(log *slog.Logger) (wallClock, error) {
	path := os.Getenv(testClockEnv)
	if path == "" {
		return nil, nil
	}
	offset, err := clockOffset(path)
	if err != nil {
		return nil, err
	}
	log.Warn("the wall clock is moved by a file; this is for tests", "file", path, "offset", offset)
	var last atomic.Int64 // a clock whose file is gone goes on as it went
	last.Store(int64(offset))
	return func() time.Time {
		if offset, err := clockOffset(path); err != nil {
			log.Error("the wall clock cannot be moved any more", "error", err)
		} else {
			last.Store(int64(offset))
		}
		return time.Now().Add(time.Duration(last.Load()))
	}, nil
}

func clockOffset(path string) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read the offset of the wall clock (%s): %w", testClockEnv, err)
	}
	ms, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("offset of the wall clock in %s (%s): %w", path, testClockEnv, err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}
