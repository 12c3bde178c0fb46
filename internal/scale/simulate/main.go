// Command simulate plays clusters in virtual time and prints what each costs: go run ./internal/scale/simulate -agents 1000 -partitions 100000 -rate 10GiB
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/isthmusdata/isthmus/internal/scale"
	"github.com/isthmusdata/isthmus/internal/units"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
}

// ladder is the steps from a laptop to a large company.
var ladder = []struct {
	agents, partitions int
	rate               units.Bytes
}{
	{2, 100, 10 * units.MiB}, {4, 400, 64 * units.MiB}, {16, 1600, 256 * units.MiB}, {64, 6400, units.GiB}, {256, 25_600, 4 * units.GiB}, {1000, 100_000, 10 * units.GiB},
}

func run() error {
	cfg := scale.Default()
	agents := flag.Int("agents", 0, "agents, half of them to produce and half to fetch; without it, a ladder of clusters")
	flag.IntVar(&cfg.Partitions, "partitions", 100_000, "partitions of all topics")
	cfg.Rate = 10 * units.GiB
	flag.Var(&cfg.Rate, "rate", "bytes produced a second")
	flag.IntVar(&cfg.Zones, "zones", 3, "zones of the agents that fetch")
	flag.DurationVar(&cfg.For, "for", 3*time.Second, "virtual time")
	flag.DurationVar(&cfg.Linger, "linger", cfg.Linger, "of every client")
	flag.DurationVar(&cfg.FlushInterval, "flush-interval", cfg.FlushInterval, "of every agent")
	flag.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "of the run")
	flag.Parse()
	var runs []*scale.Report
	play := func(c scale.Config) error {
		began := time.Now()
		r, err := scale.Run(c)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%d agents: %.1f s\n", c.Producers+c.Fetchers, time.Since(began).Seconds())
		runs = append(runs, r)
		return nil
	}
	if *agents > 0 {
		cfg.Producers, cfg.Fetchers = max(1, *agents/2), max(1, *agents/2)
		cfg.Zones = min(cfg.Zones, cfg.Fetchers)
		if err := play(cfg); err != nil {
			return err
		}
		return scale.Print(os.Stdout, runs...)
	}
	for _, step := range ladder {
		c := cfg
		c.Producers, c.Fetchers, c.Partitions, c.Rate = step.agents/2, step.agents/2, step.partitions, step.rate
		c.Zones = min(c.Zones, c.Fetchers)
		if err := play(c); err != nil {
			return err
		}
	}
	return scale.Print(os.Stdout, runs...)
}
