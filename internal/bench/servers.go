package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what the server processes took in the measured time.
type Usage struct {
	Processes       int     `json:"processes,omitempty"`
	CPUSeconds      float64 `json:"cpu_seconds,omitempty"`       // user and system, of all together
	OtherCPUSeconds float64 `json:"other_cpu_seconds,omitempty"` // of processes that are neither servers nor this load
	ResidentBytes   int64   `json:"resident_bytes,omitempty"`    // at the end, of all together
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
		usage.OtherCPUSeconds = max(0, after.OtherCPUSeconds-before.OtherCPUSeconds)
	}()
	return func() (Usage, error) {
		close(over)
		<-done
		return usage, err
	}
}

// Watch is what processes take in a time, and what memory they have at its end.
func Watch(ctx context.Context, pids []int, length time.Duration) (Usage, error) {
	before, err := readServers(pids)
	if err != nil {
		return Usage{}, err
	}
	if length > 0 && !sleep(ctx, length) {
		return Usage{}, ctx.Err()
	}
	after, err := readServers(pids)
	after.CPUSeconds -= before.CPUSeconds
	after.OtherCPUSeconds = max(0, after.OtherCPUSeconds-before.OtherCPUSeconds)
	return after, err
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
	if len(pids) == 0 {
		return total, nil
	}
	own, _, err := readProcess(os.Getpid())
	if err != nil {
		return Usage{}, fmt.Errorf("read CPU time of the load: %w", err)
	}
	busy, err := readMachine()
	if err != nil {
		return Usage{}, fmt.Errorf("read CPU time of the machine: %w", err)
	}
	total.OtherCPUSeconds = busy - own - total.CPUSeconds
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

// readMachine is the CPU time of all that has run since the machine started, from the first line of /proc/stat.
func readMachine() (seconds float64, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("strange first line %.60q of /proc/stat", line)
	}
	for _, i := range []int{1, 2, 3, 6, 7} { // user, nice, system, irq, softirq
		ticks, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("strange first line %.60q of /proc/stat", line)
		}
		seconds += float64(ticks) / ticksPerSecond
	}
	return seconds, nil
}
