package control

// The Kafka error codes that the state answers with. Those of kerr are variables; these are the
// same numbers, which a test compares.
const (
	codeUnknownPartition      int16 = 3   // UNKNOWN_TOPIC_OR_PARTITION
	codeMetadataTooLarge      int16 = 12  // OFFSET_METADATA_TOO_LARGE
	codeLoading               int16 = 14  // COORDINATOR_LOAD_IN_PROGRESS: try again
	codeInvalidTopic          int16 = 17  // INVALID_TOPIC_EXCEPTION
	codeNotEnoughReplicas     int16 = 19  // NOT_ENOUGH_REPLICAS: try again
	codeInvalidGroup          int16 = 24  // INVALID_GROUP_ID
	codeTopicDenied           int16 = 29  // TOPIC_AUTHORIZATION_FAILED
	codeGroupDenied           int16 = 30  // GROUP_AUTHORIZATION_FAILED
	codeClusterDenied         int16 = 31  // CLUSTER_AUTHORIZATION_FAILED
	codeTopicExists           int16 = 36  // TOPIC_ALREADY_EXISTS
	codeInvalidPartitions     int16 = 37  // INVALID_PARTITIONS
	codeInvalidConfig         int16 = 40  // INVALID_CONFIG
	codeInvalidRequest        int16 = 42  // INVALID_REQUEST
	codePolicy                int16 = 44  // POLICY_VIOLATION
	codeSequenceGap           int16 = 45  // OUT_OF_ORDER_SEQUENCE_NUMBER
	codeSequenceOld           int16 = 46  // DUPLICATE_SEQUENCE_NUMBER
	codeProducerEpoch         int16 = 47  // INVALID_PRODUCER_EPOCH
	codeTransactionalIDDenied int16 = 53  // TRANSACTIONAL_ID_AUTHORIZATION_FAILED
	codeUnknownProducer       int16 = 59  // UNKNOWN_PRODUCER_ID
	codeNonEmptyGroup         int16 = 68  // NON_EMPTY_GROUP
	codeGroupNotFound         int16 = 69  // GROUP_ID_NOT_FOUND
	codeGroupTooLarge         int16 = 81  // GROUP_MAX_SIZE_REACHED
	codeTooMany               int16 = 89  // THROTTLING_QUOTA_EXCEEDED
	codeNotFound              int16 = 91  // RESOURCE_NOT_FOUND
	codeUnknownTopicID        int16 = 100 // UNKNOWN_TOPIC_ID
)
