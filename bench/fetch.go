package main

import (
	"context"
	"fmt"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
)

func fetchCases() []Case {
	both := []System{Isthmus, KafkaRF1}
	return []Case{
		{"tail-base", "40 MB/s in, nobody reads", both, tail(0)},
		{"tail-1", "40 MB/s in, 40 MB/s out", both, tail(1)},
		{"tail-4", "40 MB/s in, 160 MB/s out", both, tail(4)},
		{"cold-1", "1 GB from its beginning, one client", both, cold(1)},
		{"cold-8", "1 GB from its beginning, 8 clients of all of it", both, cold(8)},
	}
}

// tail produces 40 MB a second, and n readers follow all of it.
func tail(n int) func(context.Context, *Env, System) (Sample, error) {
	return func(ctx context.Context, e *Env, s System) (Sample, error) {
		t, err := e.Target(ctx, s, Options{})
		if err != nil {
			return Sample{}, err
		}
		defer t.Close(ctx, e)
		c := t.Aim(large())
		c.Clients, c.Fanout, c.Rate = 4, n, 40e6/float64(c.RecordSize)
		c.Warmup, c.For = e.Warmup(), e.pick(8*time.Second, 2*time.Second)
		defer e.profile(ctx, t.cluster, fmt.Sprintf("tail-%d", n), c.Warmup, c.For)()
		if n == 0 {
			return sound(bench.Produce(ctx, c, e.log, nil))
		}
		return sound(bench.EndToEnd(ctx, c, e.log, nil))
	}
}

// cold has n readers read a topic that was written before, each all of it. Of isthmus, nothing is in an agent's memory
// then; of Kafka, all is in the page cache.
func cold(n int) func(context.Context, *Env, System) (Sample, error) {
	return func(ctx context.Context, e *Env, s System) (Sample, error) {
		t, err := e.Target(ctx, s, Options{})
		if err != nil {
			return Sample{}, err
		}
		defer t.Close(ctx, e)
		c := t.Aim(large())
		c.ServerPIDs = nil
		c.Rate = 200e6 / float64(c.RecordSize)
		c.Warmup, c.For = 0, e.pick(5*time.Second, time.Second)
		if _, err := sound(bench.Produce(ctx, c, e.log, nil)); err != nil {
			return Sample{}, err
		}
		if t.cluster != nil {
			if err := t.cluster.RestartFetchers(ctx); err != nil {
				return Sample{}, err
			}
			t.Consume, t.PIDs = t.cluster.FetchAddresses(), t.cluster.PIDs()
		}
		c = t.Aim(c)
		c.Clients, c.Fanout, c.Once, c.For = 1, n, true, 2*patience
		defer e.profile(ctx, t.cluster, fmt.Sprintf("cold-%d", n), 0, e.pick(2*time.Second, time.Second))()
		return sound(bench.Fetch(ctx, c, e.log, nil))
	}
}
