package scale

import (
	"errors"
	"fmt"
	"time"

	"github.com/isthmusdata/isthmus/internal/units"
)

// ByteScale is how many bytes of a cluster one byte of the simulation stands for.
const ByteScale = 64

// topicPartitions is how many partitions a topic has.
const topicPartitions = 100

// Config is one cluster and its load.
type Config struct {
	Seed       uint64
	Producers  int         // agents that produce
	Fetchers   int         // agents that fetch, spread over Zones
	Zones      int         // each reads every segment once
	Partitions int         // of all topics; clients produce to a partition at one agent, and fetch it at one
	Rate       units.Bytes // a second, of all partitions together, which get the same
	Linger     time.Duration
	BatchBytes units.Bytes // most bytes of a client's batch
	For        time.Duration

	FlushInterval time.Duration
	FlushBytes    units.Bytes

	Network   time.Duration // one way between an agent and the leader
	Fsync     time.Duration // of the leader's log, for all commands that wait
	LogBatch  int           // most commands of one fsync
	PerCommit time.Duration // the leader's processor time for a commit, rows aside: gRPC, the log, the answer
	PerRow    time.Duration // and for each row: parsing, placing, answering, queueing it for watches
	PerNews   time.Duration // of any of its processors, for each event in a watch's message
	PerWatch  time.Duration // and for each message
}

// Default is a small cluster. Its costs are those of one core of the development machine: 15 µs a commit (control/server, BenchmarkCommit),
// what a profile of this simulation says of rows (0.9 µs to parse, place and answer, 0.3 µs to publish) and of events (0.4 µs to encode, and
// as much again to send), and 10 µs for a message through gRPC.
func Default() Config {
	return Config{
		Seed: 1, Producers: 1, Fetchers: 1, Zones: 1, Partitions: 100, Rate: 10 * units.MiB, Linger: 50 * time.Millisecond, BatchBytes: units.MiB,
		For: 5 * time.Second, FlushInterval: 200 * time.Millisecond, FlushBytes: 4 * units.MiB, Network: 500 * time.Microsecond, Fsync: 2 * time.Millisecond,
		LogBatch: 64, PerCommit: 15 * time.Microsecond, PerRow: 1200 * time.Nanosecond, PerNews: 800 * time.Nanosecond, PerWatch: 10 * time.Microsecond,
	}
}

// Validate reports every fault at once.
func (c *Config) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(c.Producers >= 1 && c.Producers <= 5000, "producers: %d is not between 1 and 5000", c.Producers)
	check(c.Fetchers >= 1 && c.Fetchers <= 5000, "fetchers: %d is not between 1 and 5000", c.Fetchers)
	check(c.Zones >= 1 && c.Zones <= c.Fetchers, "zones: %d is not between 1 and the number of fetchers, %d", c.Zones, c.Fetchers)
	check(c.Partitions >= 1 && c.Partitions <= 200_000, "partitions: %d is not between 1 and 200000", c.Partitions)
	check(c.Rate >= units.KiB, "rate: %v is below 1KiB a second", c.Rate)
	check(c.Linger >= time.Millisecond && c.Linger <= time.Minute, "linger: %v is not between 1ms and 1m", c.Linger)
	check(c.BatchBytes >= units.KiB, "batch bytes: %v is below 1KiB", c.BatchBytes)
	check(c.For >= time.Second && c.For <= time.Hour, "for: %v is not between 1s and 1h", c.For)
	check(c.LogBatch >= 1, "log batch: %d is below 1", c.LogBatch)
	return errors.Join(faults...)
}
