package bench

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/isthmusdata/isthmus/internal/units"
)

// Codecs are the names of the compressions a client may use.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Config is one run.
type Config struct {
	Brokers        []string
	ConsumeBrokers []string // where to read; Brokers when empty
	Topic          string   // name of the topic, or prefix of their names when Topics > 1
	Topics         int
	Partitions     int
	Clients        int  // producers, or readers, or both
	Fanout         int  // how often all is read: each of so many sets of Clients readers reads everything; 1 when 0
	Once           bool // the topics hold the records of one run: a fetch checks their order, too
	For            time.Duration
	Warmup         time.Duration // load before the measured time
	Rate           float64       // records a second over all clients; 0: as fast as it goes
	RecordSize     units.Bytes   // of a value
	BatchSize      units.Bytes   // most bytes of a producer's batch
	Linger         time.Duration
	Compression    string
	Idempotent     bool
	ServerPIDs     []int
	MetadataAge    time.Duration // how often clients look again where partitions are; 0: their default

	Until <-chan struct{} // ends the load before For has passed; nil: never
	Watch Watcher         // is told of every record; nil: nobody
}

// Watcher is told what becomes of the records of a run, by many goroutines at once.
type Watcher interface {
	Sent(Stamp)
	Acked(Stamp)
	Refused(Stamp, error) // the producer was told an error
	Consumed(Stamp)
}

// nobody watches.
type nobody struct{}

func (nobody) Sent(Stamp)           {}
func (nobody) Acked(Stamp)          {}
func (nobody) Refused(Stamp, error) {}
func (nobody) Consumed(Stamp)       {}

// Default is a run that suits a laptop.
func Default() Config {
	return Config{
		Brokers: []string{"127.0.0.1:9092"}, Topic: "isthmus-bench", Topics: 1, Partitions: 12, Clients: 1,
		For: 20 * time.Second, Warmup: 3 * time.Second, RecordSize: units.KiB, BatchSize: units.MiB,
		// Clients have five requests in flight at most: with a linger of a fifth of an agent's flush
		// interval or more, no record waits for a free one.
		Linger: 50 * time.Millisecond, Compression: "none", Idempotent: true,
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
	check(len(c.Brokers) > 0, "brokers: name at least one host:port")
	check(c.Topic != "", "topic: must have a name")
	check(c.Topics >= 1 && c.Topics <= 10_000, "topics: %d is not between 1 and 10000", c.Topics)
	check(c.Partitions >= 1 && c.Partitions <= 10_000, "partitions: %d is not between 1 and 10000", c.Partitions)
	check(c.Clients >= 1 && c.Clients <= 1000, "clients: %d is not between 1 and 1000", c.Clients)
	check(c.Fanout >= 0 && c.Fanout <= 1000, "fanout: %d is not between 0 and 1000", c.Fanout)
	check(c.For > 0, "for: %v is not a duration to run", c.For)
	check(c.Warmup >= 0, "warmup: %v is negative", c.Warmup)
	check(c.Rate >= 0, "rate: %v is negative", c.Rate)
	check(c.RecordSize >= StampSize && c.RecordSize <= 64*units.MiB, "record-size: %v is not between %d B and 64MiB", c.RecordSize, StampSize)
	check(c.BatchSize >= units.KiB && c.BatchSize <= 64*units.MiB, "batch-size: %v is not between 1KiB and 64MiB", c.BatchSize)
	check(c.Linger >= 0 && c.Linger <= time.Minute, "linger: %v is not between 0 and 1m", c.Linger)
	check(slices.Contains(Codecs, c.Compression), "compression: %q is none of %v", c.Compression, Codecs)
	return errors.Join(faults...)
}

// topics are the names of the run's topics.
func (c *Config) topics() []string {
	if c.Topics == 1 {
		return []string{c.Topic}
	}
	names := make([]string, c.Topics)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", c.Topic, i)
	}
	return names
}

func (c *Config) consumeBrokers() []string {
	if len(c.ConsumeBrokers) > 0 {
		return c.ConsumeBrokers
	}
	return c.Brokers
}
