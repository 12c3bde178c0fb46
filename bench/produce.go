package main

import (
	"context"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
	"github.com/isthmusdata/isthmus/internal/units"
)

// large is the load that the others vary: 1 KiB records of JSON, 24 partitions, 8 connections, batches of
// about 150 KB, acks=all, idempotent.
func large() bench.Config {
	c := bench.Default()
	c.Partitions, c.Clients, c.RecordSize, c.BatchSize, c.Linger = 24, 8, units.KiB, 160*units.KiB, 50*time.Millisecond
	return c
}

func with(change func(*bench.Config)) bench.Config {
	c := large()
	change(&c)
	return c
}

func produceCases() []Case {
	all := []System{Isthmus, KafkaRF1, KafkaRF3}
	return []Case{
		{"produce-large", "produce, batches of 150 KB", all, produce("produce-large", large())},
		{"produce-large-lz4", "the same, lz4", all[:2], produce("produce-large-lz4", with(func(c *bench.Config) { c.Compression = "lz4" }))},
		{"produce-16k", "produce, batches of 16 KB", all, produce("produce-16k", with(func(c *bench.Config) { c.BatchSize = 16 * units.KiB }))},
		{"produce-100b", "produce, 50,000 records of 100 B a second, no linger", all, produce("produce-100b", with(func(c *bench.Config) {
			c.RecordSize, c.Linger, c.Rate = 100, 0, 50_000
		}))},
		{"produce-100b-full", "the same as fast as it goes: buffers are full, and batches large for all that", all[:2], produce("produce-100b-full", with(func(c *bench.Config) {
			c.RecordSize, c.Linger = 100, 0
		}))},
	}
}

// produce loads at full speed.
func produce(name string, c bench.Config) func(context.Context, *Env, System) (Sample, error) {
	return func(ctx context.Context, e *Env, s System) (Sample, error) {
		t, err := e.Target(ctx, s, Options{Fetch: -1})
		if err != nil {
			return Sample{}, err
		}
		defer t.Close(ctx, e)
		c.Warmup, c.For = e.Warmup(), e.Measure()
		defer e.profile(ctx, t.cluster, name, c.Warmup, c.For)()
		return sound(bench.Produce(ctx, t.Aim(c), e.log, nil))
	}
}
