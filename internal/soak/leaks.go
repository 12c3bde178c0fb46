package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What a process may hold more, when load has ended, than it held before: generous, for idle
// connections and pools end in their own time.
const (
	moreGoroutines = 50
	moreFiles      = 25
	moreMemory     = 320e6 // caches fill up, and memory that was used once is given back late
)

// Processes are looked at until they hold about what they held before, or for restPatience; those that hold
// too much by then have until leakPatience.
const (
	about        = 10 // goroutines and file descriptors
	restPatience = 40 * time.Second
	leakPatience = 2 * time.Minute
)

// holding is what a process holds of the machine.
type holding struct {
	Goroutines int   `json:"goroutines"`
	Files      int   `json:"file_descriptors"`
	Resident   int64 `json:"resident_bytes"`
}

// holding looks at the process from outside and asks it for its goroutines.
func (p *process) holding(ctx context.Context) (h holding, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("see what %s holds: %w", p.name, err)
		}
	}()
	status, metrics := p.get(ctx, "/metrics")
	if status != 200 {
		return h, fmt.Errorf("%d %.200s", status, metrics)
	}
	for lines := bufio.NewScanner(strings.NewReader(metrics)); lines.Scan(); {
		if n, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			if h.Goroutines, err = strconv.Atoi(n); err != nil {
				return h, err
			}
		}
	}
	if h.Goroutines == 0 {
		return h, errors.New("its metrics have no go_goroutines")
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
	if err != nil {
		return h, err
	}
	h.Files = len(files)
	pages, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid()))
	if err != nil {
		return h, err
	}
	fields := strings.Fields(string(pages))
	if len(fields) < 2 {
		return h, fmt.Errorf("strange /proc/%d/statm %q", p.pid(), pages)
	}
	resident, err := strconv.ParseInt(fields[1], 10, 64)
	h.Resident = resident * int64(os.Getpagesize())
	return h, err
}

// Rest is one process before the load and after it.
type Rest struct {
	Process string  `json:"process"`
	Lives   int     `json:"lives"` // 1: it lived through everything
	Before  holding `json:"before"`
	After   holding `json:"after"`
	Leak    string  `json:"leak,omitempty"`
}

// settled reports whether the process holds about what it held before.
func (r *Rest) settled() bool {
	return r.After.Goroutines <= r.Before.Goroutines+about && r.After.Files <= r.Before.Files+about
}

// judge says what is too much.
func (r *Rest) judge() {
	var faults []string
	if n := r.After.Goroutines - r.Before.Goroutines; n > moreGoroutines {
		faults = append(faults, fmt.Sprintf("%d goroutines more", n))
	}
	if n := r.After.Files - r.Before.Files; n > moreFiles {
		faults = append(faults, fmt.Sprintf("%d file descriptors more", n))
	}
	if n := r.After.Resident - r.Before.Resident; n > moreMemory {
		faults = append(faults, fmt.Sprintf("%d MB more", n/1e6))
	}
	r.Leak = strings.Join(faults, ", ")
}

// atRest compares every process with what its first life held before the load. It waits until all have
// come to rest or had time enough, and keeps the goroutines of those that have not.
func (c *cluster) atRest(ctx context.Context, before map[string]holding) ([]Rest, error) {
	for began := time.Now(); ; {
		rests, restless, leaks := make([]Rest, 0, len(before)), 0, 0
		for _, n := range c.nodes() {
			after, err := n.holding(ctx)
			if err != nil {
				return nil, err
			}
			r := Rest{Process: n.name, Lives: n.lives, Before: before[n.name], After: after}
			if r.judge(); r.Leak != "" {
				leaks++
			}
			if !r.settled() {
				restless++
			}
			rests = append(rests, r)
		}
		waited := time.Since(began)
		if restless == 0 && leaks == 0 || leaks == 0 && waited > restPatience || waited > leakPatience {
			return rests, c.keepGoroutines(ctx, rests)
		}
		if !pause(ctx, 2*time.Second) {
			return nil, ctx.Err()
		}
	}
}

func (c *cluster) keepGoroutines(ctx context.Context, rests []Rest) error {
	for i, n := range c.nodes() {
		if rests[i].Leak == "" {
			continue
		}
		_, stacks := n.get(ctx, "/debug/pprof/goroutine?debug=1")
		path := filepath.Join(c.config.Dir, n.name+".goroutines")
		if err := os.WriteFile(path, []byte(stacks), 0o600); err != nil {
			return fmt.Errorf("keep the goroutines of %s: %w", n.name, err)
		}
	}
	return nil
}

// holdings are what all processes hold.
func (c *cluster) holdings(ctx context.Context) (map[string]holding, error) {
	all := map[string]holding{}
	for _, n := range c.nodes() {
		h, err := n.holding(ctx)
		if err != nil {
			return nil, err
		}
		all[n.name] = h
	}
	return all, nil
}
