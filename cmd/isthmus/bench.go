package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmusdata/isthmus/internal/bench"
)

// benchmark is one of the three loads.
type benchmark func(context.Context, bench.Config, *slog.Logger, bench.Progress) (bench.Result, error)

func newBench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Load any Kafka-compatible cluster and check what came of it",
		Long: `bench loads a Kafka-compatible cluster, isthmus or another, and prints throughput, latency
percentiles, the CPU and memory of the server processes named by --server-pid, and, end to
end, whether anything acknowledged was lost, duplicated or reordered. It exits with 1 if so.`,
		Example: "  isthmus bench e2e --brokers 127.0.0.1:9092 --consume-brokers 127.0.0.1:9192 --for 20s",
	}
	cmd.AddCommand(
		newBenchmark("produce", "Produce records and measure how soon they are acknowledged", bench.Produce),
		newBenchmark("fetch", "Read topics from their beginning", bench.Fetch),
		newBenchmark("e2e", "Produce and consume at once, and follow every record", bench.EndToEnd),
	)
	return cmd
}

func newBenchmark(name, short string, load benchmark) *cobra.Command {
	config := bench.Default()
	cmd := &cobra.Command{
		Use:     name,
		Short:   short,
		Example: fmt.Sprintf("  isthmus bench %s --brokers 127.0.0.1:9092 --for 20s", name),
	}
	if name != "fetch" {
		cmd.Example += " --record-size 1KiB --compression lz4"
	}
	out := addOutputFlag(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&config.Brokers, "brokers", config.Brokers, "bootstrap addresses, host:port")
	f.StringVar(&config.Topic, "topic", config.Topic, "topic, or the prefix of their names with --topics")
	f.IntVar(&config.Topics, "topics", config.Topics, "number of topics")
	f.IntVar(&config.Partitions, "partitions", config.Partitions, "partitions of topics that are created")
	f.IntVar(&config.Clients, "clients", config.Clients, "number of producers, and of readers")
	f.DurationVar(&config.For, "for", config.For, "measured time; a fetch ends sooner when it has read what was there")
	f.IntSliceVar(&config.ServerPIDs, "server-pid", nil, "server processes whose CPU time and memory are measured")
	if name != "fetch" {
		f.DurationVar(&config.Warmup, "warmup", config.Warmup, "load before the measured time")
		f.Float64Var(&config.Rate, "rate", config.Rate, "records a second over all producers; 0 is as fast as it goes")
		f.Var(&config.RecordSize, "record-size", "size of a record's value")
		f.Var(&config.BatchSize, "batch-size", "most bytes of a producer's batch")
		f.DurationVar(&config.Linger, "linger", config.Linger, "how long a producer waits to fill a batch")
		f.StringVar(&config.Compression, "compression", config.Compression, "none, gzip, snappy, lz4 or zstd")
		f.BoolVar(&config.Idempotent, "idempotent", config.Idempotent, "produce with idempotence")
	}
	if name == "e2e" {
		f.StringSliceVar(&config.ConsumeBrokers, "consume-brokers", nil, "bootstrap addresses of the readers, if they differ")
	}
	addConfigFlags(cmd)
	cmd.RunE = configured(func(cmd *cobra.Command) error {
		if err := config.Validate(); err != nil {
			return usageError{err}
		}
		return runBenchmark(cmd, config, load, out)
	})
	return cmd
}

func runBenchmark(cmd *cobra.Command, config bench.Config, load benchmark, out *output) error {
	logger, err := newLogger(cmd)
	if err != nil {
		return err
	}
	begin, end := "", "\n"
	if isTerminal(cmd.ErrOrStderr()) {
		begin, end = "\r", ""
	}
	progress := func(elapsed time.Duration, produced, consumed int64) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s%4.0fs  produced %d  consumed %d %s", begin, elapsed.Seconds(), produced, consumed, end)
	}
	result, err := load(cmd.Context(), config, logger, progress)
	if begin != "" {
		fmt.Fprintln(cmd.ErrOrStderr())
	}
	if err != nil {
		return err
	}
	if out.json() {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(result)
	} else {
		err = result.Print(cmd.OutOrStdout())
	}
	if err == nil && !result.Sound() {
		err = errors.New("the check failed: something was lost, duplicated, reordered or refused")
	}
	return err
}
