package topic

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// Config is the typed view of a topic's configuration that the data path honours.
type Config struct {
	MaxMessageBytes    int32
	TimestampType      TimestampType
	TimestampBeforeMax int64 // milliseconds
	TimestampAfterMax  int64 // milliseconds
	CompressionType    string
	RetentionMs        int64 // -1: for ever
	RetentionBytes     int64 // -1: without bound
}

// TimestampType says whose clock a record's timestamp shows.
type TimestampType int8

const (
	// CreateTime is the producer's clock.
	CreateTime TimestampType = 0
	// LogAppendTime is the agent's clock when the segment was sealed.
	LogAppendTime TimestampType = 1
)

// String prints the type as message.timestamp.type spells it.
func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}

// ErrConfig is wrapped by every error of ParseConfig and CheckConfig.
var ErrConfig = errors.New("invalid topic config")

// DefaultConfig is the configuration of a topic on which nothing was set.
// A test keeps it equal to the defaults that the table shows to clients.
func DefaultConfig() Config {
	return Config{
		MaxMessageBytes:    1048588,
		TimestampType:      CreateTime,
		TimestampBeforeMax: math.MaxInt64,
		TimestampAfterMax:  3600000,
		CompressionType:    "producer",
		RetentionMs:        604800000,
		RetentionBytes:     -1,
	}
}

// ParseConfig turns the overrides set on a topic into what the data path
// honours. It reports every fault at once: each key that is unknown, each value
// that its key does not allow, each value that is refused and why.
func ParseConfig(overrides map[string]string) (Config, error) {
	c := DefaultConfig()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if err := CheckConfig(name, overrides[name]); err != nil {
			errs = append(errs, err)
			continue
		}
		honour(&c, name, overrides)
	}
	if err := checkLags(overrides); err != nil && len(errs) == 0 {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return DefaultConfig(), err
	}
	return c, nil
}

// CheckConfig says whether a topic may be given this value under this name.
func CheckConfig(name, value string) error {
	k, ok := LookupConfig(name)
	if !ok {
		return fmt.Errorf("%w: unknown topic config %q%s", ErrConfig, name, suggest(name))
	}
	if err := k.check(value); err != nil {
		return fmt.Errorf("%w: value %q for %s: %w", ErrConfig, value, name, err)
	}
	if k.Effect == Refused && value != k.Default {
		return fmt.Errorf("%w: value %q for %s is refused: %s", ErrConfig, value, name, k.Reason)
	}
	return nil
}

// honour copies one checked override into c. Keys without effect are left alone.
func honour(c *Config, name string, overrides map[string]string) {
	value := overrides[name]
	switch name {
	case "max.message.bytes":
		c.MaxMessageBytes = int32(number(value))
	case "message.timestamp.type":
		c.TimestampType = CreateTime
		if value == "LogAppendTime" {
			c.TimestampType = LogAppendTime
		}
	case "message.timestamp.before.max.ms":
		c.TimestampBeforeMax = number(value)
	case "message.timestamp.after.max.ms":
		c.TimestampAfterMax = number(value)
	case "message.timestamp.difference.max.ms":
		// The two newer keys replace this one: each wins on its own side.
		if _, ok := overrides["message.timestamp.before.max.ms"]; !ok {
			c.TimestampBeforeMax = number(value)
		}
		if _, ok := overrides["message.timestamp.after.max.ms"]; !ok {
			c.TimestampAfterMax = number(value)
		}
	case "compression.type":
		c.CompressionType = value
	case "retention.ms":
		c.RetentionMs = number(value)
	case "retention.bytes":
		c.RetentionBytes = max(number(value), -1)
	}
}

// number reads a value that its key's check has already found to be a number.
func number(value string) int64 {
	n, err := strconv.ParseInt(trim(value), 10, 64)
	if err != nil {
		panic("topic: number of an unchecked value " + strconv.Quote(value))
	}
	return n
}

// checkLags holds Kafka's one rule between two keys.
func checkLags(overrides map[string]string) error {
	shortest, okMin := overrides["min.compaction.lag.ms"]
	longest, okMax := overrides["max.compaction.lag.ms"]
	if !okMin || !okMax {
		return nil
	}
	low, errLow := strconv.ParseInt(trim(shortest), 10, 64)
	high, errHigh := strconv.ParseInt(trim(longest), 10, 64)
	if errLow == nil && errHigh == nil && low > high {
		return fmt.Errorf("%w: min.compaction.lag.ms (%d) is above max.compaction.lag.ms (%d)", ErrConfig, low, high)
	}
	return nil
}
