package produce

import (
	"time"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Batch is one record batch of a client on its way to its place. Whoever appends it sets the
// exported fields and leaves Bytes alone until the writer releases it.
type Batch struct {
	// Ref is the caller's: whom the answer is for. The writer never looks at it.
	Ref       any
	Share     string
	Partition topic.Partition
	// Bytes is one whole batch that record.Verify accepted.
	Bytes record.Batch
	// AppendTime: the topic's timestamps are the agent's; Bytes is stamped when the segment is sealed.
	AppendTime bool
	// Patience is how long the batch may wait before its commit is sent; 0, or more than
	// Config.AnswerTimeout, means that.
	Patience time.Duration
	// Waited is how long it had been in the agent before it was appended. It counts for its patience.
	Waited time.Duration

	producer segment.Producer
	arrived  time.Duration
	giveUp   time.Duration // when it loses patience
	stamp    int64         // Unix milliseconds written into Bytes, or NoTimestamp
	leftOut  bool          // answered with an error before its commit was sent: it stays out of the commit
}

// NoTimestamp stands for a timestamp that is not known; Kafka's wire uses the same value.
const NoTimestamp int64 = -1

// overhead is what a batch takes in memory beside its bytes.
const overhead = 512

// lane is what must stay in order: a batch that is left out takes the later ones of its lane along.
type lane struct {
	producer  int64
	epoch     int16
	partition topic.Partition
}

func (b *Batch) idempotent() bool { return b.producer.ID != segment.NoProducer }

func (b *Batch) lane() lane {
	return lane{producer: b.producer.ID, epoch: b.producer.Epoch, partition: b.Partition}
}

// receive notes what the writer needs of b again and again.
func (b *Batch) receive(now time.Duration, cfg *Config) {
	b.arrived, b.stamp, b.leftOut = now, NoTimestamp, false
	b.giveUp = max(b.born()+cfg.patience(b.Patience), now+leastWait)
	b.producer = segment.ProducerOf(b.Bytes)
}

// born is when the agent took the batch in.
func (b *Batch) born() time.Duration { return b.arrived - b.Waited }

// leastWait is what is left to a batch that has lost its patience on its way to the writer, or to a segment.
const leastWait = time.Second

// patience bounds a client's timeout: one shorter than a flush could never be met.
func (c *Config) patience(asked time.Duration) time.Duration {
	if asked <= 0 || asked > c.AnswerTimeout {
		return c.AnswerTimeout
	}
	return min(max(asked, leastWait, 4*c.FlushInterval), c.AnswerTimeout)
}

// Answer is what a client is told of one batch.
type Answer struct {
	Code       int16        // Kafka error code
	Offset     topic.Offset // of the first record, or topic.NoOffset
	LogStart   topic.Offset // of the partition, or topic.NoOffset
	AppendTime int64        // Unix milliseconds, or NoTimestamp for a topic of CreateTime
	Text       string       // for people; empty without an error
}

// refused is an answer without a place.
func refused(code int16, text string) Answer {
	return Answer{Code: code, Offset: topic.NoOffset, LogStart: topic.NoOffset, AppendTime: NoTimestamp, Text: text}
}
