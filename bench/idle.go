package main

import (
	"context"
	"fmt"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
	"github.com/isthmusdata/isthmus/internal/units"
)

func idleCases() []Case {
	return []Case{
		{"idle", "a cluster with a topic and nothing to do", []System{Isthmus, KafkaRF1}, idle},
		{"memory", "100 MB/s in and out; the extra figures are each agent's memory", []System{Isthmus}, memory},
	}
}

// idle waits, and looks at what the processes do meanwhile: Extra's core_percent is of one core, all processes together.
// ResidentMB is the largest process.
func idle(ctx context.Context, e *Env, s System) (Sample, error) {
	t, err := e.Target(ctx, s, Options{})
	if err != nil {
		return Sample{}, err
	}
	defer t.Close(ctx, e)
	c := t.Aim(bench.Default())
	c.Rate, c.Warmup, c.For = 100, 0, 2*time.Second // so that there is a topic, and everything has run once
	if _, err := sound(bench.Produce(ctx, c, e.log, nil)); err != nil {
		return Sample{}, err
	}
	var before bucketRequests
	if t.cluster != nil {
		// What a load leaves to be done is done within a minute: its sums are put into the log, and before that the leader
		// looks for another's turn. A cluster is idle after that.
		if _, err := bench.Watch(ctx, t.PIDs, e.pick(90*time.Second, 0)); err != nil {
			return Sample{}, err
		}
		if before, err = t.cluster.requests(ctx); err != nil {
			return Sample{}, err
		}
	}
	length := e.pick(60*time.Second, 3*time.Second)
	usage, err := bench.Watch(ctx, t.PIDs, length)
	if err != nil {
		return Sample{}, err
	}
	sample := Sample{Seconds: length.Seconds(), CPUSeconds: usage.CPUSeconds, OtherCPUSeconds: usage.OtherCPUSeconds,
		Extra: map[string]float64{"core_percent": usage.CPUSeconds / length.Seconds() * 100}}
	if sample.ResidentMB, err = largest(ctx, t); err != nil {
		return Sample{}, err
	}
	if t.cluster != nil {
		after, err := t.cluster.requests(ctx)
		if err != nil {
			return Sample{}, err
		}
		r := after.less(before)
		sample.Puts, sample.Gets = r.puts, r.gets
		sample.Extra["lists"] = r.lists
	}
	return sample, nil
}

// largest is the memory of the largest process in MB.
func largest(ctx context.Context, t *Target) (float64, error) {
	most := 0.0
	for _, pid := range t.PIDs {
		u, err := bench.Watch(ctx, []int{pid}, 0)
		if err != nil {
			return 0, err
		}
		most = max(most, float64(u.ResidentBytes)/1e6)
	}
	return most, nil
}

// memory loads a cluster with 100 MB a second in and out. ResidentMB is the larger agent.
func memory(ctx context.Context, e *Env, s System) (Sample, error) {
	t, err := e.Target(ctx, s, Options{})
	if err != nil {
		return Sample{}, err
	}
	defer t.Close(ctx, e)
	c := t.Aim(large())
	c.Clients, c.Rate, c.BatchSize = 4, 100e6/float64(c.RecordSize), units.MiB
	c.Warmup, c.For = e.Warmup(), e.pick(15*time.Second, 2*time.Second)
	sample, err := sound(bench.EndToEnd(ctx, c, e.log, nil))
	if err != nil {
		return Sample{}, err
	}
	sample.Extra = map[string]float64{}
	sample.ResidentMB = 0
	for _, p := range t.cluster.Processes() {
		u, err := bench.Watch(ctx, []int{p.pid()}, 0)
		if err != nil {
			return Sample{}, fmt.Errorf("memory of %s: %w", p.name, err)
		}
		mb := float64(u.ResidentBytes) / 1e6
		sample.Extra[p.name+"_mb"] = mb
		if p != t.cluster.control {
			sample.ResidentMB = max(sample.ResidentMB, mb)
		}
	}
	return sample, nil
}
