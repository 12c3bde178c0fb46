package tunnel

import (
	"errors"
	"time"

	"github.com/isthmusdata/isthmus/control/coordinator"
)

// Config is what an operator may set of the tunnel.
type Config struct {
	// Coordinator bounds consumer groups.
	Coordinator coordinator.Config
	// NumPartitions is what a topic gets that does not say [num.partitions].
	NumPartitions int32
	// AutoCreate is shown to clients; creating is the Topics call's [auto.create.topics.enable].
	AutoCreate bool
	// OffsetsRetention is shown to clients; expiring is the state's [offsets.retention.minutes].
	OffsetsRetention time.Duration
	// OffsetMetadataMaxBytes bounds the text beside a committed offset [offset.metadata.max.bytes].
	OffsetMetadataMaxBytes int
	// MaxRequestBytes bounds a request's body before it is decoded.
	MaxRequestBytes int
	// MaxParked bounds the requests that wait for their group.
	MaxParked int
	// QueueBytes bounds commits and assignments that wait for the log.
	QueueBytes int
	// EntryBytes is the most that is proposed at once; an entry of the log must hold it.
	EntryBytes int
}

// Default is Kafka's where Kafka has a default.
func Default() Config {
	return Config{
		Coordinator:            coordinator.Default(),
		NumPartitions:          1,
		AutoCreate:             true,
		OffsetsRetention:       7 * 24 * time.Hour,
		OffsetMetadataMaxBytes: 4096,
		MaxRequestBytes:        1 << 20,
		MaxParked:              50_000,
		QueueBytes:             64 << 20,
		EntryBytes:             500 << 10,
	}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	errs := []error{c.Coordinator.Validate()}
	bad := func(when bool, text string) {
		if when {
			errs = append(errs, errors.New("tunnel: "+text))
		}
	}
	bad(c.NumPartitions < 1, "num partitions must be at least 1")
	bad(c.OffsetsRetention < time.Minute, "offsets retention must be at least 1m")
	bad(c.OffsetMetadataMaxBytes < 0, "offset metadata max bytes must not be negative")
	bad(c.MaxRequestBytes < 1<<10, "max request bytes must be at least 1KiB")
	bad(c.MaxParked < 1, "max parked must be at least 1")
	bad(c.EntryBytes < c.Coordinator.MaxGroupBytes, "entry bytes must hold a whole group (max group bytes)")
	bad(c.QueueBytes < c.EntryBytes, "queue bytes must be at least entry bytes")
	return errors.Join(errs...)
}
