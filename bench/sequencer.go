package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

func sequencerCases() []Case {
	return []Case{{"sequencer", "placements a second of one core, and memory of an index entry: the micro-benchmarks of control/", []System{Isthmus}, sequencer}}
}

// sequencer runs the benchmarks that say how fast the state machine places and how much an index entry takes.
// PlacementsPerCore is of State.Apply, 1,000 extents a commit; Extra has the idempotent ones, and those with gRPC and log.
func sequencer(ctx context.Context, e *Env, _ System) (Sample, error) {
	length := "1s"
	if e.Short {
		length = "1x"
	}
	run := func(pattern, pack, cores string) (map[string]float64, error) {
		text, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", pattern, "-benchtime", length, "-cpu", cores, pack).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("go test -bench %s %s: %w: %s", pattern, pack, err, text)
		}
		return readBenchmarks(string(text)), nil
	}
	placing, err := run("^Benchmark(PlaceExtents|PlaceIdempotent|IndexBytes)$", "./control", "1")
	if err != nil {
		return Sample{}, err
	}
	whole, err := run("^BenchmarkCommit$", "./control/server", "2")
	if err != nil {
		return Sample{}, err
	}
	s := Sample{PlacementsPerCore: placing["PlaceExtents placements/s"], BytesPerEntry: placing["IndexBytes bytes/entry"], Extra: map[string]float64{}}
	if s.PlacementsPerCore == 0 || s.BytesPerEntry == 0 {
		return Sample{}, fmt.Errorf("the benchmarks of control/ do not say how fast they place: %v", placing)
	}
	s.Extra["idempotent_placements_per_core_second"] = placing["PlaceIdempotent placements/s"]
	for name, value := range whole {
		s.Extra[name] = value
	}
	return s, nil
}

// readBenchmarks reads the figures of lines such as
//
//	BenchmarkPlaceExtents-2  3000  400000 ns/op  2500000 placements/s
//
// as "PlaceExtents placements/s".
func readBenchmarks(text string) map[string]float64 {
	figures := map[string]float64{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(fields[0], "Benchmark"), "-")
		for i := 2; i+1 < len(fields); i += 2 {
			if value, err := strconv.ParseFloat(fields[i], 64); err == nil {
				figures[name+" "+fields[i+1]] = value
			}
		}
	}
	return figures
}
