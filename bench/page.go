package main

import (
	"fmt"
	"os"
	"strings"
)

// The table in docs/performance.md stands between these lines; a run writes it anew.
const (
	pageBegin = "<!-- bench: written by make bench -->"
	pageEnd   = "<!-- bench: end -->"
)

// WritePage puts the tables of a result into a page that has the two marks.
func (r *Result) WritePage(file string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, begun := strings.Cut(string(page), pageBegin)
	_, tail, ended := strings.Cut(rest, pageEnd)
	if !begun || !ended {
		return fmt.Errorf("%s has no lines %q and %q to write between", file, pageBegin, pageEnd)
	}
	return os.WriteFile(file, []byte(head+pageBegin+"\n"+r.markdown()+pageEnd+tail), 0o644)
}

// markdown is a result as the page shows it.
func (r *Result) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nCommit %s, %s, on %d cores of %s, %.0f GB, Linux %s; %s, Kafka %s. Medians of all rounds.\n", r.Commit, r.Started.Format("2 January 2006"),
		r.Machine.Cores, r.Machine.CPU, r.Machine.MemoryMB/1000, r.Machine.Kernel, r.Versions["go"], r.Versions["kafka"])
	b.WriteString("\n| case | isthmus MB/CPU-s | Kafka RF 1 | Kafka RF 3 | to RF 1 | to RF 3 | isthmus MB/s | CPU of others |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, name := range r.names() {
		i := r.Median(name, Isthmus, perCPU)
		if k := r.Median(name, KafkaRF1, perCPU); i > 0 && k > 0 {
			others := r.Median(name, Isthmus, func(s Sample) float64 { return s.OtherCPUSeconds / s.Seconds * 100 })
			k3 := r.Median(name, KafkaRF3, perCPU)
			fmt.Fprintf(&b, "| %s: %s | %.0f | %.0f | %s | %.2f | %s | %.0f | %.0f %% of a core |\n", name, about(name), i, k, orNone(k3, "%.0f"), i/k, orNone(ratio(i, k3), "%.1f"),
				r.Median(name, Isthmus, func(s Sample) float64 { return s.MBPerSecond }), others)
		}
	}
	b.WriteString("\n| case | produce p50/p99 ms | end to end p50/p99 ms | resident MB | more |\n| --- | --- | --- | --- | --- |\n")
	for _, name := range r.names() {
		if r.Median(name, KafkaRF1, perCPU) > 0 {
			continue
		}
		m := func(f func(Sample) float64) float64 { return r.Median(name, Isthmus, f) }
		pair := func(a, b float64) string {
			if b == 0 {
				return ""
			}
			return fmt.Sprintf("%.0f/%.0f", a, b)
		}
		fmt.Fprintf(&b, "| %s: %s | %s | %s | %s | %s |\n", name, about(name), pair(m(func(s Sample) float64 { return s.ProduceP50Ms }), m(func(s Sample) float64 { return s.ProduceP99Ms })),
			pair(m(func(s Sample) float64 { return s.EndToEndP50Ms }), m(func(s Sample) float64 { return s.EndToEndP99Ms })), orNone(m(func(s Sample) float64 { return s.ResidentMB }), "%.0f"), r.more(name))
	}
	b.WriteString("\n")
	return b.String()
}

// more are the figures that only some cases have.
func (r *Result) more(name string) string {
	var all []string
	add := func(format string, v float64) {
		if v != 0 {
			all = append(all, fmt.Sprintf(format, v))
		}
	}
	m := func(f func(Sample) float64) float64 { return r.Median(name, Isthmus, f) }
	add("%.4f cents/GiB", m(func(s Sample) float64 { return s.CentsPerGiB }))
	if m(func(s Sample) float64 { return s.CentsPerGiB }) > 0 {
		add("%.0f PUT/GiB", m(func(s Sample) float64 { return s.Puts }))
		add("%.0f GET/GiB", m(func(s Sample) float64 { return s.Gets }))
	}
	add("%.0f placements/core-s", m(func(s Sample) float64 { return s.PlacementsPerCore }))
	add("%.1f bytes/index entry", m(func(s Sample) float64 { return s.BytesPerEntry }))
	if name == "idle" {
		all = append(all, fmt.Sprintf("%.0f PUT, %.0f GET", m(func(s Sample) float64 { return s.Puts }), m(func(s Sample) float64 { return s.Gets })))
	}
	for _, key := range r.extras(name) {
		all = append(all, fmt.Sprintf("%s %.4g", strings.ReplaceAll(key, "_", " "), m(func(s Sample) float64 { return s.Extra[key] })))
	}
	return strings.Join(all, ", ")
}

func orNone(v float64, format string) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf(format, v)
}

func about(name string) string {
	for _, c := range cases() {
		if c.Name == name {
			return c.About
		}
	}
	return ""
}
