package soak

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/isthmusdata/isthmus/internal/units"
)

// Config is one soak.
type Config struct {
	Binary   string        // isthmus
	Dir      string        // of logs, data and the report; made if absent
	For      time.Duration // of the load; one of ten minutes or more goes on until every kind of fault has happened
	Seed     uint64        // decides faults, their order and their victims
	Only     []string      // kinds of faults; empty: all
	Rate     float64       // records a second over all producers
	Size     units.Bytes   // of a record's value
	Endpoint string        // of the S3 server, http://HOST:PORT
	Bucket   string        // on it
	Progress io.Writer     // is told what happens, for a person
}

// fullLength is how long a soak must be to promise every kind of fault.
const fullLength = 10 * time.Minute

// Default is a soak of ten minutes; Binary, Dir, Endpoint and Bucket are the caller's.
func Default() Config {
	return Config{For: fullLength, Seed: 1, Rate: 900, Size: units.KiB, Progress: io.Discard}
}

// FromEnv fills in the S3 server that scripts/ceph.sh env names.
func (c *Config) FromEnv() error {
	var faults []error
	read := func(name string) string {
		value := os.Getenv(name)
		if value == "" {
			faults = append(faults, fmt.Errorf("%s is not set", name))
		}
		return value
	}
	c.Endpoint, c.Bucket = read("ISTHMUS_E2E_S3"), read("ISTHMUS_E2E_S3_BUCKET")
	read("AWS_ACCESS_KEY_ID")
	read("AWS_SECRET_ACCESS_KEY")
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("no S3 server is named: %w (start one with scripts/ceph.sh up, and eval \"$(scripts/ceph.sh env)\")", err)
	}
	return nil
}

// Validate reports every fault at once.
func (c *Config) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(c.Binary != "", "no isthmus binary is named")
	check(c.Dir != "", "no folder for logs is named")
	check(c.Endpoint != "" && c.Bucket != "", "no bucket is named")
	check(c.For >= 30*time.Second, "a soak of %v is too short: at least 30s", c.For)
	check(c.Rate > 0 && c.Rate*float64(c.Size) <= 2e6, "%.0f records of %v a second are not above 0 and at most 2 MB/s", c.Rate, c.Size)
	for _, kind := range c.Only {
		check(slices.Contains(Kinds(), kind), "no fault is called %q; there are %v", kind, Kinds())
	}
	return errors.Join(faults...)
}
