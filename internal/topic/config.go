package topic

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
