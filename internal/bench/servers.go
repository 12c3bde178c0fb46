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

// watchServers reads the processes' counters at both ends of the measured time. The returned
// function waits for the second reading.
func watchServers(pids []int, from, to time.Time) func() (Usage, error) {
	type reading struct {
		usage Usage
		err   error
	}
	done := make(chan reading, 1)
	go func() {
		time.Sleep(time.Until(from))
		before, err := readServers(pids)
		time.Sleep(time.Until(to))
		after, err2 := readServers(pids)
		after.CPUSeconds -= before.CPUSeconds
		done <- reading{after, errors.Join(err, err2)}
	}()
	return func() (Usage, error) {
		r := <-done
		return r.usage, r.err
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
