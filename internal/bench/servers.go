package bench

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what the server processes took in the measured time.
type Usage struct {
	Processes     int     `json:"processes,omitempty"`
	CPUSeconds    float64 `json:"cpu_seconds,omitempty"`    // user and system, of all together
	ResidentBytes int64   `json:"resident_bytes,omitempty"` // at the end, of all together
}

// ticksPerSecond is the unit of /proc/PID/stat on Linux (USER_HZ), the same on every
// architecture that Go runs on.
const ticksPerSecond = 100

// watchServers reads the processes' counters at both ends of the measured time, or when the
// returned function is called, if the load has ended before.
func watchServers(pids []int, from, to time.Time) (stop func() (Usage, error)) {
	over := make(chan struct{})
	until := func(t time.Time) {
		timer := time.NewTimer(time.Until(t))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-over:
		}
	}
	var usage Usage
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		until(from)
		before, err1 := readServers(pids)
		until(to)
		after, err2 := readServers(pids)
		usage, err = after, errors.Join(err1, err2)
		usage.CPUSeconds -= before.CPUSeconds
	}()
	return func() (Usage, error) {
		close(over)
		<-done
		return usage, err
	}
}

func readServers(pids []int) (Usage, error) {
	total := Usage{Processes: len(pids)}
	for _, pid := range pids {
		cpu, resident, err := readProcess(pid)
		if err != nil {
			return Usage{}, fmt.Errorf("read CPU time of server process %d: %w", pid, err)
		}
		total.CPUSeconds += cpu
		total.ResidentBytes += resident
	}
	return total, nil
}

// readProcess reads /proc/PID/stat; see proc(5) for its fields.
func readProcess(pid int) (cpuSeconds float64, residentBytes int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The second field is the command in parentheses and may hold anything.
	_, rest, found := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 22 {
		return 0, 0, fmt.Errorf("strange process status %.60q", text)
	}
	var values [3]int64
	for i, field := range []int{11, 12, 21} { // utime, stime, rss
		if values[i], err = strconv.ParseInt(fields[field], 10, 64); err != nil {
			return 0, 0, fmt.Errorf("strange process status: %w", err)
		}
	}
	return float64(values[0]+values[1]) / ticksPerSecond, values[2] * int64(os.Getpagesize()), nil
}
