// Package topic names a place in a log: which topic, which partition, which
// offset. It holds names only, so that every other package can share them
// without sharing anything else.
package topic

import (
	"encoding/hex"
	"errors"
	"fmt"
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

// ErrUnknown says that a confirmed leader read found no such topic or partition.
var ErrUnknown = errors.New("unknown topic or partition")
