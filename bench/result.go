package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Result is one run.
type Result struct {
	Commit   string            `json:"commit"`
	Started  time.Time         `json:"started"`
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Samples  []Sample          `json:"samples"`
}

// Machine is what it ran on.
type Machine struct {
	CPU      string  `json:"cpu"`
	Cores    int     `json:"cores"`
	MemoryMB float64 `json:"memory_mb"`
	Kernel   string  `json:"kernel"`
}

func newResult(ctx context.Context) (*Result, error) {
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").Output()
	if err != nil {
		return nil, fmt.Errorf("name the commit: %w", err)
	}
	m, err := machine()
	if err != nil {
		return nil, err
	}
	return &Result{Commit: strings.TrimSpace(string(commit)), Started: time.Now().UTC().Truncate(time.Second), Machine: m,
		Versions: map[string]string{"go": runtime.Version(), "kafka": "4.3.1"}}, nil
}

func machine() (Machine, error) {
	m := Machine{Cores: runtime.NumCPU()}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return m, err
	}
	m.Kernel = strings.TrimSpace(string(kernel))
	if m.CPU, err = field("/proc/cpuinfo", "model name"); err != nil {
		return m, err
	}
	memory, err := field("/proc/meminfo", "MemTotal")
	if err != nil {
		return m, err
	}
	if _, err := fmt.Sscanf(memory, "%f kB", &m.MemoryMB); err != nil {
		return m, fmt.Errorf("memory of the machine, %q: %w", memory, err)
	}
	m.MemoryMB = float64(int(m.MemoryMB * 1024 / 1e6))
	return m, nil
}

// field is the first value of a name in a file of /proc; "unknown" when it has no such name.
func field(file, name string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "unknown", nil
}

// values are a figure of a case on a system, one a round.
func (r *Result) values(name string, s System, figure func(Sample) float64) []float64 {
	var all []float64
	for _, sample := range r.Samples {
		if sample.Case == name && sample.System == s {
			all = append(all, figure(sample))
		}
	}
	return all
}

// extras are the names of figures that a case alone has.
func (r *Result) extras(name string) []string {
	var all []string
	for _, sample := range r.Samples {
		if sample.Case == name && len(all) == 0 {
			all = slices.Sorted(maps.Keys(sample.Extra))
		}
	}
	return all
}

// Median is that of a figure over the rounds of a case on a system, 0 when there is none.
func (r *Result) Median(name string, s System, figure func(Sample) float64) float64 {
	all := r.values(name, s, figure)
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

func perCPU(s Sample) float64 { return s.MBPerCPUSecond }

// Print writes the table: a line a case.
func (r *Result) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "case\tisthmus\tkafka-rf1\tkafka-rf3\tto rf1\tto rf3\tMB/s\tproduce p50/p99\te2e p50/p99\tresident\t")
	for _, name := range r.names() {
		i, k1, k3 := r.Median(name, Isthmus, perCPU), r.Median(name, KafkaRF1, perCPU), r.Median(name, KafkaRF3, perCPU)
		m := func(f func(Sample) float64) float64 { return r.Median(name, Isthmus, f) }
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.0f\t%.2f\t%.2f\t%.0f\t%.0f/%.0f\t%.0f/%.0f\t%.0f MB\t\n", name, i, k1, k3, ratio(i, k1), ratio(i, k3), m(func(s Sample) float64 { return s.MBPerSecond }),
			m(func(s Sample) float64 { return s.ProduceP50Ms }), m(func(s Sample) float64 { return s.ProduceP99Ms }),
			m(func(s Sample) float64 { return s.EndToEndP50Ms }), m(func(s Sample) float64 { return s.EndToEndP99Ms }), m(func(s Sample) float64 { return s.ResidentMB }))
	}
	return errors.Join(t.Flush(), r.printExtra(w))
}

// printExtra writes what single families of cases measure, a line a case.
func (r *Result) printExtra(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, name := range r.names() {
		known := map[string]bool{}
		for _, s := range r.Samples {
			for figure := range s.Extra {
				known[figure] = known[figure] || s.Case == name && s.System == Isthmus
			}
		}
		var all []string
		for _, figure := range slices.Sorted(maps.Keys(known)) {
			if known[figure] {
				all = append(all, fmt.Sprintf("%s %.4g", figure, r.Median(name, Isthmus, func(s Sample) float64 { return s.Extra[figure] })))
			}
		}
		if len(all) > 0 {
			fmt.Fprintf(t, "%s\t%s\n", name, strings.Join(all, ", "))
		}
	}
	return t.Flush()
}

func (r *Result) names() []string {
	var all []string
	for _, s := range r.Samples {
		if !slices.Contains(all, s.Case) {
			all = append(all, s.Case)
		}
	}
	return all
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
