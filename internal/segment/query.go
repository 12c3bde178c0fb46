package segment

import "github.com/isthmusdata/isthmus/internal/topic"

// PlanQuery asks where the records of a partition lie, from an offset on.
type PlanQuery struct {
	Partition topic.Partition
	Offset    topic.Offset
	// MaxBytes ends the plan after the location that reaches it; there is at least one.
	MaxBytes int64
}

// PartitionPlan answers a PlanQuery from a confirmed leader read: what it says is not there
// is not there (I9).
type PartitionPlan struct {
	Code          int16 // Kafka error code: 0, 3 or 100 for an unknown topic or partition, 29 for one not granted
	LogStart      topic.Offset
	HighWatermark topic.Offset
	LastStable    topic.Offset
	// Locations are contiguous; the first holds the offset asked for. There are none when the
	// offset lies outside [LogStart, HighWatermark).
	Locations []Location
}

// Event is news of a watched partition.
type Event struct {
	Partition topic.Partition
	// Removed: the topic is deleted or no longer granted; nothing else is set.
	Removed bool
	// Reset: events were dropped before this one, so Locations do not continue the last ones.
	Reset bool
	// LogStart and HighWatermark only ever move up while a partition is watched. The first
	// event after an Add carries them from a confirmed leader read.
	LogStart      topic.Offset
	HighWatermark topic.Offset
	Locations     []Location
}

// Kafka's special timestamps: an OffsetQuery with one of them asks for a place, not for a time.
const (
	TimestampLatest        = -1 // the end of the log
	TimestampEarliest      = -2 // its start
	TimestampMax           = -3 // the record of the greatest timestamp
	TimestampEarliestLocal = -4 // the start of a local tier: here that of the log
	TimestampLatestTiered  = -5 // the end of a remote tier: there is none
)

// OffsetQuery asks for an offset by time or by one of Kafka's special timestamps.
type OffsetQuery struct {
	Partition     topic.Partition
	Timestamp     int64 // Unix milliseconds, or a special one
	ReadCommitted bool
}

// OffsetFound answers an OffsetQuery from a confirmed leader read.
type OffsetFound struct {
	Code int16
	// Offset is topic.NoOffset when no record is as late as asked. By time it is the first
	// offset of the extent that holds the record: never too late.
	Offset    topic.Offset
	Timestamp int64
	// In is where an exact answer is to be looked for; nil when the answer is exact.
	In *Location
}
