package topic

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/isthmusdata/isthmus/internal/units"
)

// check is the rule that a value must keep, as Kafka's ConfigDef has it.
type check func(value string) error

func trim(value string) string { return strings.TrimSpace(value) }

// integer allows whole numbers from low to high.
func integer(low, high int64) check {
	return func(value string) error {
		n, err := strconv.ParseInt(trim(value), 10, 64)
		switch {
		case errors.Is(err, strconv.ErrRange):
			return fmt.Errorf("must be between %d and %d", low, high)
		case err != nil:
			return errors.New("not a whole number")
		case n < low || n > high:
			return fmt.Errorf("must be between %d and %d", low, high)
		}
		return nil
	}
}

// int32From and int64From allow whole numbers of the wire's width from low up.
func int32From(low int64) check { return integer(low, math.MaxInt32) }
func int64From(low int64) check { return integer(low, math.MaxInt64) }

// decimal allows numbers from low to high.
func decimal(low, high float64) check {
	return func(value string) error {
		f, err := strconv.ParseFloat(trim(value), 64)
		if err != nil || math.IsNaN(f) {
			return errors.New("not a number")
		}
		if f < low || f > high {
			return fmt.Errorf("must be between %g and %g", low, high)
		}
		return nil
	}
}

// boolean allows true and false in any case, as Kafka does.
func boolean(value string) error {
	switch strings.ToLower(trim(value)) {
	case "true", "false":
		return nil
	}
	return errors.New("must be true or false")
}

// oneOf allows exactly these words.
func oneOf(words ...string) check {
	return func(value string) error {
		if slices.Contains(words, value) {
			return nil
		}
		return fmt.Errorf("must be one of %s", strings.Join(words, ", "))
	}
}

// gzipLevel allows 1 to 9 and -1, zlib's own default.
func gzipLevel(value string) error {
	if trim(value) == "-1" {
		return nil
	}
	return integer(1, 9)(value)
}

// anyText allows every text that fits into a log entry with comfort.
func anyText(value string) error {
	if !utf8.ValidString(value) {
		return errors.New("not UTF-8")
	}
	if len(value) > maxTextBytes {
		return fmt.Errorf("longer than %d bytes", maxTextBytes)
	}
	return nil
}

const maxTextBytes = 4096

// throttledReplicas allows what Kafka's replica throttles look like: nothing,
// "*", or partition:broker pairs.
func throttledReplicas(value string) error {
	if err := anyText(value); err != nil {
		return err
	}
	if v := trim(value); v == "" || v == "*" {
		return nil
	}
	for pair := range strings.SplitSeq(value, ",") {
		partition, broker, ok := strings.Cut(trim(pair), ":")
		_, errPartition := strconv.ParseUint(partition, 10, 31)
		_, errBroker := strconv.ParseUint(broker, 10, 31)
		if !ok || errPartition != nil || errBroker != nil {
			return errors.New(`must be empty, "*", or a list like 0:1,1:2 of partition:broker`)
		}
	}
	return nil
}

// cleanupPolicy allows delete, and says what is missing for the other policies.
func cleanupPolicy(value string) error {
	for policy := range strings.SplitSeq(value, ",") {
		switch trim(policy) {
		case "delete":
		case "compact":
			return errors.New("compaction is not served yet; use cleanup.policy=delete")
		case "":
			return errors.New("a topic without a policy is not served; use cleanup.policy=delete with retention.ms=-1 to keep everything")
		default:
			return fmt.Errorf("unknown policy %q; use delete", trim(policy))
		}
	}
	return nil
}

// shareName allows what may stand in an object key as one path element.
func shareName(value string) error {
	if value == "" || len(value) > 63 {
		return errors.New("must have 1 to 63 characters")
	}
	for i, r := range value {
		lower := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		if !lower && (i == 0 || r != '-' && r != '_' && r != '.') {
			return errors.New("must begin with a lower-case letter or a digit and go on with those, '-', '_' or '.'")
		}
	}
	return nil
}

// suggest names the known key that is nearest to an unknown one, if any is near.
func suggest(name string) string {
	if len(name) > 128 {
		return "" // no slip of the pen
	}
	known := make([]string, len(configTable))
	for i, k := range configTable {
		known[i] = k.Name
	}
	if near := units.Nearest(name, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
