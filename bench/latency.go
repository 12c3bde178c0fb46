package main

import (
	"context"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
)

// standard is a bucket that answers as S3 Standard does.
const standard = "latency=s3-standard"

func latencyCases() []Case {
	only := []System{Isthmus}
	return []Case{
		{"latency-default", "1,000 records a second through a bucket as slow as S3 Standard, defaults", only, latency(1000)},
		{"latency-5000", "the same, 5,000 a second", only, latency(5000)},
		{"latency-50ms", "1,000 a second, segments of 50 ms or 2 MiB", only, latency(1000, "--flush-interval", "50ms", "--flush-bytes", "2MiB")},
	}
}

// latency measures how soon records are acknowledged and read at a rate far below what the machine can do. Producers
// linger 50 ms, which is part of the figures: latency counts from when a record was due.
func latency(rate float64, flags ...string) func(context.Context, *Env, System) (Sample, error) {
	return func(ctx context.Context, e *Env, s System) (Sample, error) {
		t, err := e.Target(ctx, s, Options{Query: standard, Agent: flags})
		if err != nil {
			return Sample{}, err
		}
		defer t.Close(ctx, e)
		c := t.Aim(bench.Default())
		c.Rate = rate
		c.Warmup, c.For = e.Warmup(), e.pick(30*time.Second, 3*time.Second)
		return sound(bench.EndToEnd(ctx, c, e.log, nil))
	}
}
