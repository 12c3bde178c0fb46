package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Latest is bench/results/latest.json: the figures that goals are stated in, beside the runs they come from. Ratios are of MB a
// CPU-second, isthmus to Kafka, medians of all rounds. What was not run, or failed, is null.
type Latest struct {
	ProduceLargeVsRF1    *float64  `json:"produce_large_vs_kafka_rf1"`
	Produce16kVsRF1      *float64  `json:"produce_16k_vs_kafka_rf1"`
	Produce100bVsRF1     *float64  `json:"produce_100b_vs_kafka_rf1"`
	ProduceLargeVsRF3    *float64  `json:"produce_large_vs_kafka_rf3"`
	TailFanout1          *float64  `json:"tail_fanout1_vs_kafka"` // in and out together
	TailFanout4          *float64  `json:"tail_fanout4_vs_kafka"`
	Cold1                *float64  `json:"cold_1_vs_kafka"`
	Cold8                *float64  `json:"cold_8_vs_kafka"`
	InOutMiBPerCPUSecond *float64  `json:"in_out_mib_per_cpu_second"`
	ProduceP50Ms         *float64  `json:"produce_p50_ms"`
	ProduceP99Ms         *float64  `json:"produce_p99_ms"`
	EndToEndP50Ms        *float64  `json:"e2e_p50_ms"`
	EndToEndP99Ms        *float64  `json:"e2e_p99_ms"`
	ProduceP99Of50ms     *float64  `json:"produce_p99_50ms_flush_ms"`
	PlacementsPerCore    *float64  `json:"placements_per_core_second"`
	IndexBytesPerEntry   *float64  `json:"index_bytes_per_entry"`
	CentsPerGiBDefault   *float64  `json:"cents_per_gib_default"`
	CentsPerGiBEconomy   *float64  `json:"cents_per_gib_economy"`
	IdlePuts             *float64  `json:"idle_puts"`
	IdleGets             *float64  `json:"idle_gets"`
	AgentResidentMB      *float64  `json:"agent_rss_mb"` // at 100 MB/s in and out
	Commit               string    `json:"commit"`
	Runs                 []*Result `json:"runs"`
}

// Latest sums a run up.
func (r *Result) Latest() Latest {
	of := func(name string, figure func(Sample) float64) *float64 {
		if len(r.values(name, Isthmus, figure)) == 0 {
			return nil
		}
		v := r.Median(name, Isthmus, figure)
		return &v
	}
	to := func(name string, s System) *float64 {
		i, k := of(name, perCPU), r.Median(name, s, perCPU)
		if i == nil || k == 0 {
			return nil
		}
		v := *i / k
		return &v
	}
	return Latest{
		ProduceLargeVsRF1: to("produce-large", KafkaRF1), Produce16kVsRF1: to("produce-16k", KafkaRF1),
		Produce100bVsRF1: to("produce-100b", KafkaRF1), ProduceLargeVsRF3: to("produce-large", KafkaRF3),
		TailFanout1: to("tail-1", KafkaRF1), TailFanout4: to("tail-4", KafkaRF1), Cold1: to("cold-1", KafkaRF1), Cold8: to("cold-8", KafkaRF1),
		InOutMiBPerCPUSecond: of("tail-1", func(s Sample) float64 { return s.MBPerCPUSecond * 1e6 / (1 << 20) }),
		ProduceP50Ms:         of("latency-default", func(s Sample) float64 { return s.ProduceP50Ms }),
		ProduceP99Ms:         of("latency-default", func(s Sample) float64 { return s.ProduceP99Ms }),
		EndToEndP50Ms:        of("latency-default", func(s Sample) float64 { return s.EndToEndP50Ms }),
		EndToEndP99Ms:        of("latency-default", func(s Sample) float64 { return s.EndToEndP99Ms }),
		ProduceP99Of50ms:     of("latency-50ms", func(s Sample) float64 { return s.ProduceP99Ms }),
		PlacementsPerCore:    of("sequencer", func(s Sample) float64 { return s.PlacementsPerCore }),
		IndexBytesPerEntry:   of("sequencer", func(s Sample) float64 { return s.BytesPerEntry }),
		CentsPerGiBDefault:   of("calls-default", func(s Sample) float64 { return s.CentsPerGiB }),
		CentsPerGiBEconomy:   of("calls-economy", func(s Sample) float64 { return s.CentsPerGiB }),
		IdlePuts:             of("idle", func(s Sample) float64 { return s.Puts }),
		IdleGets:             of("idle", func(s Sample) float64 { return s.Gets }),
		AgentResidentMB:      of("memory", func(s Sample) float64 { return s.ResidentMB }),
		Commit:               r.Commit, Runs: []*Result{r},
	}
}

// Write keeps the result as FOLDER/DATE-COMMIT.json, and the sum of it and of earlier runs as FOLDER/latest.json. It
// returns what is summed: a case counts as it was found last, for some are run again by themselves.
func (r *Result) Write(folder string) (*Result, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	if err := writeJSON(filepath.Join(folder, r.Started.Format("2006-01-02")+"-"+r.Commit+".json"), r); err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "latest.json")
	var before Latest
	if text, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(text, &before); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all, runs := r.over(before.Runs)
	latest := all.Latest()
	latest.Runs = runs
	return all, writeJSON(file, latest)
}

// over puts a result over those of earlier runs, and returns the runs of which anything is left.
func (r *Result) over(earlier []*Result) (all *Result, runs []*Result) {
	sum := *r
	sum.Samples, runs = nil, []*Result{r}
	found := r.names()
	for _, e := range slices.Backward(earlier) {
		left := slices.DeleteFunc(slices.Clone(e.Samples), func(s Sample) bool { return slices.Contains(found, s.Case) })
		if len(left) > 0 {
			sum.Samples = append(left, sum.Samples...)
			runs = append([]*Result{e}, runs...)
		}
		found = append(found, e.names()...)
	}
	sum.Samples = append(sum.Samples, r.Samples...)
	return &sum, runs
}

func writeJSON(file string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
