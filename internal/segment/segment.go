package segment

import (
	"fmt"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// ID names one segment in the life of a cluster. Hedged uploads of the same
// sequence share it and are byte-identical; only their Nonce differs.
type ID struct {
	Incarnation uint32 // the cluster's life: bootstrap is 1
	Session     uint64 // the fenced lease that minted it; rises within an incarnation
	Sequence    uint64 // counted from 1 within a session and share
}

// String prints incarnation-session-sequence.
func (id ID) String() string {
	return fmt.Sprintf("%d-%d-%d", id.Incarnation, id.Session, id.Sequence)
}

// Nonce makes an object's key unguessable, and each hedge an object of its own (I8).
type Nonce [12]byte

// Object names one stored object: everything its key is derived from but the cluster's name.
type Object struct {
	Share string
	Group string // the group that wrote it: a wall between writers
	ID    ID
	Nonce Nonce
}

// Producer is the idempotent identity of one record batch. ID is NoProducer
// for a batch without one, and the other fields are then zero.
type Producer struct {
	ID    int64
	Epoch int16
	First int32 // first sequence number of the batch
	Last  int32 // last sequence number; sequences wrap from 2^31-1 to 0
}

// NoProducer is the producer id of a batch that asks for no deduplication.
const NoProducer int64 = -1

// ProducerOf reads the idempotent identity of a batch from its header.
func ProducerOf(b record.Batch) Producer {
	if b.ProducerID() < 0 {
		return Producer{ID: NoProducer}
	}
	return Producer{ID: b.ProducerID(), Epoch: b.ProducerEpoch(), First: b.FirstSequence(), Last: b.LastSequence()}
}

// Row is one line of a manifest: what is placed, or refused, as one. A batch
// with a producer id is a row of its own; the batches of a partition without
// one stand together in one row.
type Row struct {
	Partition    topic.Partition
	Position     uint32 // bytes from the start of the object
	Length       uint32 // bytes
	Records      uint32
	MaxTimestamp int64 // Unix milliseconds
	Producer     Producer
}

// Manifest is what an agent tells the control plane of a segment it has
// stored. Rows are in the order of their positions; the rows of a partition
// stand next to each other, in the order in which they are to be placed.
type Manifest struct {
	Size uint32 // bytes of the whole object
	Rows []Row
}

// Verdict is what became of one row.
type Verdict uint8

const (
	// Placed: the row begins at Offset.
	Placed Verdict = iota + 1
	// Duplicate: the batch had been placed before, at Offset (or at an offset no longer
	// remembered: then Code is 46 and Offset is topic.NoOffset).
	Duplicate
	// Refused: the row has no place and never will (I11); Code is Kafka's error code.
	Refused
)

// Answer is what the control plane says of one row, in the order of the rows.
type Answer struct {
	Verdict  Verdict
	Code     int16 // Kafka error code; 0 unless Refused, or 46 for a forgotten Duplicate
	Offset   topic.Offset
	LogStart topic.Offset // the partition's log start offset at that moment, or topic.NoOffset
}

// Commit asks for the places of one stored segment, or, with an empty
// manifest, only abandons sequences or acknowledges answers. A Commit may be
// sent again, unchanged but for Acked, until it is answered: the answer is
// the same (I2).
type Commit struct {
	Session  uint64
	Share    string
	Sequence uint64
	// After is the last sequence committed or abandoned before this one.
	After uint64
	// Abandoned lists every sequence between After and Sequence, exclusive, in order.
	Abandoned []uint64
	Nonce     Nonce
	Losers    []Nonce // hedges of the same sequence that may exist beside the winner
	// Acked is the highest sequence up to which all answers have arrived.
	Acked    uint64
	Manifest Manifest
}

// Empty reports whether the commit places nothing.
func (c *Commit) Empty() bool { return len(c.Manifest.Rows) == 0 }

// Outcome is what became of a Commit as a whole.
type Outcome uint8

const (
	// Answered: Answers holds one answer a row (none for an empty commit).
	Answered Outcome = iota + 1
	// Gone: the sequence was decided, but its answers are no longer kept.
	Gone
	// SessionEnded: the session had ended before the sequence was committed; it never will be.
	SessionEnded
	// OutOfOrder: After is not the last sequence, or the abandoned ones are not named in full.
	// Nothing was done; resend all unanswered commits in order.
	OutOfOrder
	// Unauthorized: the session may not write to the share. Nothing was done, and the
	// sequence is not used up.
	Unauthorized
)

// Reply answers a Commit.
type Reply struct {
	Session  uint64
	Share    string
	Sequence uint64 // the Commit's
	Outcome  Outcome
	Answers  []Answer
	Last     uint64 // the last sequence committed or abandoned of this session and share
}

// Location says where the bytes of consecutive records lie.
type Location struct {
	Partition    topic.Partition
	Base         topic.Offset // offset of the first record
	Records      uint32
	Object       Object
	Size         uint32 // bytes of the whole object
	Position     uint32
	Length       uint32
	MaxTimestamp int64
	// Stamped: the stored batches already carry their offsets and leader epoch (compacted
	// segments); a level-0 location has neither and is restamped on the way out.
	Stamped bool
}

// End is the offset after the last record.
func (l *Location) End() topic.Offset { return l.Base + topic.Offset(l.Records) }
