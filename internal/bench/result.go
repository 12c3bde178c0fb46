package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a run found. MB are 10^6 bytes of values; milliseconds are since a record was due.
type Result struct {
	Mode                 string     `json:"mode"`
	Seconds              float64    `json:"seconds"`
	ProducedRecords      int64      `json:"produced_records"`
	ProducedPerSecond    float64    `json:"produced_records_per_second"`
	ProducedMBPerSecond  float64    `json:"produced_mb_per_second"`
	ConsumedRecords      int64      `json:"consumed_records"`
	ConsumedPerSecond    float64    `json:"consumed_records_per_second"`
	ConsumedMBPerSecond  float64    `json:"consumed_mb_per_second"`
	Produce              Percentile `json:"produce_ms"`
	EndToEnd             Percentile `json:"e2e_ms"`
	Errors               int64      `json:"errors"`
	FirstError           string     `json:"first_error,omitempty"`
	Acked                int64      `json:"acked"`
	Lost                 int64      `json:"lost"`
	Duplicated           int64      `json:"duplicated"`
	Reordered            int64      `json:"reordered"`
	Servers              Usage      `json:"servers"`
	MBPerServerCPUSecond float64    `json:"mb_per_server_cpu_second,omitempty"`
}

// Percentile holds percentiles in milliseconds; all are 0 when nothing was measured.
type Percentile struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// Percentiles reads a histogram of microseconds.
func Percentiles(h *hdrhistogram.Histogram) Percentile {
	ms := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return Percentile{P50: ms(50), P90: ms(90), P99: ms(99), P999: ms(99.9), Max: float64(h.Max()) / 1000}
}

func (r *run) result(produce, consume bool, servers Usage) Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	seconds := r.end.Sub(r.measured).Seconds()
	p, c := r.count[producing], r.count[consuming]
	result := Result{
		Mode: mode(produce, consume), Seconds: seconds,
		ProducedRecords: p.records, ProducedPerSecond: float64(p.records) / seconds, ProducedMBPerSecond: float64(p.bytes) / 1e6 / seconds,
		ConsumedRecords: c.records, ConsumedPerSecond: float64(c.records) / seconds, ConsumedMBPerSecond: float64(c.bytes) / 1e6 / seconds,
		Produce: Percentiles(r.produce), EndToEnd: Percentiles(r.endToEnd), Errors: r.failed, Servers: servers,
	}
	if r.failure != nil {
		result.FirstError = r.failure.Error()
	}
	counts := r.counts()
	result.Acked = counts.Acked
	if produce && consume {
		result.Lost = counts.Lost
	}
	if produce && !consume && r.failed == 0 { // what was refused may have been written for all that
		result.Lost, result.Duplicated = max(0, counts.Acked-r.appended), max(0, r.appended-counts.Acked)
	}
	if consume && r.config.Once {
		result.Lost = r.available*int64(len(r.ledgers)) - counts.Consumed
	}
	if consume && (produce || r.config.Once) {
		result.Duplicated, result.Reordered = counts.Duplicated, counts.Reordered
	}
	if servers.CPUSeconds > 0 {
		result.MBPerServerCPUSecond = float64(p.bytes+c.bytes) / 1e6 / servers.CPUSeconds
	}
	return result
}

func mode(produce, consume bool) string {
	switch {
	case produce && consume:
		return "e2e"
	case produce:
		return "produce"
	}
	return "fetch"
}

// Sound reports whether nothing was lost, duplicated, reordered or refused.
func (r *Result) Sound() bool {
	return r.Lost == 0 && r.Duplicated == 0 && r.Reordered == 0 && r.Errors == 0
}

// Print writes the result as a table.
func (r *Result) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	line("measured", "%v", time.Duration(r.Seconds*float64(time.Second)))
	if r.Mode != "fetch" {
		line("produced", "%.0f records/s\t%.1f MB/s", r.ProducedPerSecond, r.ProducedMBPerSecond)
		line("produce latency", "p50 %.1f ms\tp90 %.1f ms\tp99 %.1f ms\tp99.9 %.1f ms", r.Produce.P50, r.Produce.P90, r.Produce.P99, r.Produce.P999)
	}
	if r.Mode != "produce" {
		line("consumed", "%.0f records/s\t%.1f MB/s", r.ConsumedPerSecond, r.ConsumedMBPerSecond)
	}
	if r.Mode == "e2e" {
		line("end to end", "p50 %.1f ms\tp90 %.1f ms\tp99 %.1f ms\tp99.9 %.1f ms", r.EndToEnd.P50, r.EndToEnd.P90, r.EndToEnd.P99, r.EndToEnd.P999)
		line("checked", "%d acknowledged\t%d lost\t%d duplicated\t%d reordered", r.Acked, r.Lost, r.Duplicated, r.Reordered)
	}
	if r.Errors > 0 {
		line("errors", "%d\t%s", r.Errors, r.FirstError)
	}
	if r.Servers.Processes > 0 {
		line("servers", "%.1f CPU s\t%.1f MB a CPU second\t%.0f MB resident", r.Servers.CPUSeconds, r.MBPerServerCPUSecond, float64(r.Servers.ResidentBytes)/1e6)
	}
	return t.Flush()
}
