package fetch

// The codes that a partition's answer may carry. All but the first let the client ask again at
// once, so they are held back (see Handler).
const (
	codeOutOfRange     int16 = 1   // OFFSET_OUT_OF_RANGE
	codeUnknownTopic   int16 = 3   // UNKNOWN_TOPIC_OR_PARTITION
	codeUnknownID      int16 = 100 // UNKNOWN_TOPIC_ID
	codeInconsistentID int16 = 103 // INCONSISTENT_TOPIC_ID
	codeUnauthorized   int16 = 29  // TOPIC_AUTHORIZATION_FAILED
	codeStorage        int16 = 56  // KAFKA_STORAGE_ERROR
	codeFencedEpoch    int16 = 74  // FENCED_LEADER_EPOCH
	codeUnknownEpoch   int16 = 75  // UNKNOWN_LEADER_EPOCH

	// The two of a whole answer, about its session.
	codeNoSession    int16 = 70 // FETCH_SESSION_ID_NOT_FOUND
	codeSessionEpoch int16 = 71 // INVALID_FETCH_SESSION_EPOCH
)
