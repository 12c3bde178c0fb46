package produce

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// refusal is why a batch is not accepted.
type refusal struct {
	code    int16
	text    string
	records []kmsg.ProduceResponseTopicPartitionErrorRecord // only when single records are to blame
}

func refuse(code int16, format string, args ...any) *refusal {
	return &refusal{code: code, text: fmt.Sprintf(format, args...)}
}

// zstdVersion is the first Produce version that may carry zstd.
const zstdVersion = 7

// checkPartition: the topic must have the partition, and clients may write to it.
func checkPartition(t *topic.Topic, index int32) *refusal {
	switch {
	case t.Internal:
		return refuse(codeInternalTopic, "topic %s is internal: only the cluster writes to it", t.Name)
	case index < 0 || index >= t.Partitions:
		return refuse(codeUnknownTopic, "topic %s has partitions 0 to %d, not %d", t.Name, t.Partitions-1, index)
	}
	return nil
}

// checkRecords: frame must hold exactly one batch of format 2 that is what its header says.
func checkRecords(frame []byte) (record.Batch, *refusal) {
	if len(frame) == 0 {
		return nil, refuse(codeInvalidRecord, "a partition must come with one record batch, not none")
	}
	b, rest, err := record.Split(frame)
	if err != nil {
		return nil, malformed(err)
	}
	if len(rest) > 0 {
		return nil, refuse(codeInvalidRecord, "a partition must come with one record batch: %d bytes follow the first", len(rest))
	}
	if err := record.Verify(b); err != nil {
		return nil, malformed(err)
	}
	return b, nil
}

// malformed gives each fault of a batch its code: 2 is retriable, for bytes that changed on the
// way come right the second time; a wrong count or format never does.
func malformed(err error) *refusal {
	switch {
	case errors.Is(err, record.ErrMagic), errors.Is(err, record.ErrCount):
		return refuse(codeInvalidRecord, "%v", err)
	case errors.Is(err, record.ErrTooLarge):
		return refuse(codeTooLarge, "%v", err) // clients that can split the batch and try again
	case errors.Is(err, record.ErrCodec):
		return refuse(codeCompression, "%v", err)
	default:
		return refuse(codeCorrupt, "%v", err)
	}
}

// checkHeader: what a client may say of its own batch. version is the request's; now is Unix
// milliseconds.
func checkHeader(b record.Batch, t *topic.Topic, version int16, now int64) *refusal {
	switch {
	case b.IsControl():
		return refuse(codeInvalidRecord, "control batches are written by the cluster alone")
	case b.IsTransactional():
		// No transaction is open, for none can be: that is what 48 says.
		return refuse(codeTxnState, "transactions are not served yet")
	case b.Codec() == record.CodecZstd && version < zstdVersion:
		return refuse(codeCompression, "zstd needs Produce version %d, not %d", zstdVersion, version)
	case int64(len(b)) > int64(t.Config.MaxMessageBytes):
		return refuse(codeTooLarge, "batch of %d bytes: topic %s takes at most max.message.bytes=%d", len(b), t.Name, t.Config.MaxMessageBytes)
	}
	if r := checkProducer(b); r != nil {
		return r
	}
	if t.Config.TimestampType == topic.LogAppendTime {
		return nil // the client's timestamps are overwritten
	}
	for _, ts := range [2]int64{b.FirstTimestamp(), b.MaxTimestamp()} {
		if r := checkTimestamp(ts, &t.Config, now); r != nil {
			return r
		}
	}
	return nil
}

func checkProducer(b record.Batch) *refusal {
	switch id := b.ProducerID(); {
	case id < -1:
		return refuse(codeInvalidRecord, "producer id %d", id)
	case id == -1:
		return nil
	case b.ProducerEpoch() < 0 || b.FirstSequence() < 0:
		return refuse(codeInvalidRecord, "producer id %d with epoch %d and sequence %d", id, b.ProducerEpoch(), b.FirstSequence())
	}
	return nil
}

// checkTimestamp holds a timestamp against the topic's bounds; NoTimestamp is exempt, as in Kafka.
func checkTimestamp(ts int64, c *topic.Config, now int64) *refusal {
	switch {
	case ts == NoTimestamp:
		return nil
	case ts < 0:
		return refuse(codeTimestamp, "timestamp %d", ts)
	case ts < now && now-ts > c.TimestampBeforeMax:
		return refuse(codeTimestamp, "timestamp %d is more than message.timestamp.before.max.ms=%d before now", ts, c.TimestampBeforeMax)
	case ts > now && ts-now > c.TimestampAfterMax:
		return refuse(codeTimestamp, "timestamp %d is more than message.timestamp.after.max.ms=%d after now", ts, c.TimestampAfterMax)
	}
	return nil
}

// checkDeep decompresses the batch and looks at every record.
func checkDeep(b record.Batch, t *topic.Topic, now int64, maxInflated int) *refusal {
	var bad *refusal
	want := int32(0)
	for rec, err := range record.Records(b, maxInflated) {
		if err != nil {
			return malformed(err)
		}
		if rec.OffsetDelta != want {
			return refuse(codeInvalidRecord, "record %d has offset delta %d", want, rec.OffsetDelta)
		}
		want++
		if t.Config.TimestampType == topic.LogAppendTime {
			continue
		}
		if r := checkTimestamp(rec.Timestamp, &t.Config, now); r != nil {
			bad = bad.with(r, rec.OffsetDelta)
		}
	}
	return bad
}

// maxRecordErrors bounds an answer: a client needs no more to see what is wrong.
const maxRecordErrors = 16

// with adds that one record is to blame; r may be nil.
func (r *refusal) with(one *refusal, index int32) *refusal {
	if r == nil {
		r = &refusal{code: one.code, text: one.text}
	}
	if len(r.records) < maxRecordErrors {
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		e.RelativeOffset = index
		e.ErrorMessage = kmsg.StringPtr(one.text)
		r.records = append(r.records, e)
	}
	return r
}
