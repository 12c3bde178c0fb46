package topic

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ID identifies a topic for good: a topic that is deleted and created again
// under the same name has another ID. It is Kafka's 16-byte topic UUID (KIP-516).
type ID [16]byte

// String prints the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the ID is unset.
func (id ID) IsZero() bool { return id == ID{} }

// Partition names one partition of one topic.
type Partition struct {
	Topic ID
	Index int32
}

// String prints the partition as topic-id/index.
func (p Partition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Index) }

// Compare orders partitions by topic and index; it exists so that nothing that
// is decided depends on the order of a map.
func (p Partition) Compare(q Partition) int {
	for i := range p.Topic {
		if p.Topic[i] != q.Topic[i] {
			return int(p.Topic[i]) - int(q.Topic[i])
		}
	}
	return int(p.Index) - int(q.Index)
}

// Offset is a record's place in its partition, counted from 0.
type Offset int64

// NoOffset stands for an offset that is not known; Kafka's wire uses the same value.
const NoOffset Offset = -1

// maxName bounds a topic's name, in bytes; Kafka's rule.
const maxName = 249

// CheckName reports why a topic may not have a name. Two names that differ only in . and _ may
// stand side by side: Kafka refuses the second because of its metric names, and there are none of
// those here.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the empty string is not allowed")
	case name == "." || name == "..":
		return fmt.Errorf("'%s' is not allowed", name)
	case len(name) > maxName:
		return fmt.Errorf("the length of '%s...' is longer than the max allowed length %d", printable(name[:16]), maxName)
	}
	for _, b := range []byte(name) {
		if !('a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '.' || b == '_' || b == '-') {
			return fmt.Errorf("'%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", printable(name))
		}
	}
	return nil
}

// printable shows a name that may hold anything.
func printable(name string) string { return strings.ToValidUTF8(name, "?") }

// ErrUnknown says that a confirmed leader read found no such topic or partition.
var ErrUnknown = errors.New("unknown topic or partition")

// ErrDenied says that the control plane does not let the caller do what it asked for. It is an answer: asking again
// is of no use until somebody has changed the walls.
var ErrDenied = errors.New("not allowed")
