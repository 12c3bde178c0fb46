package server

// The Kafka error codes by which the state answers, as this package understands them.
const (
	codeUnknownTopic   = 3   // UNKNOWN_TOPIC_OR_PARTITION
	codeInvalidTopic   = 17  // INVALID_TOPIC_EXCEPTION: the name is none that a topic may have
	codeTopicDenied    = 29  // TOPIC_AUTHORIZATION_FAILED
	codeTopicExists    = 36  // TOPIC_ALREADY_EXISTS
	codeInvalidRequest = 42  // INVALID_REQUEST
	codePolicy         = 44  // POLICY_VIOLATION: the cluster has as many as it may
	codeTooMany        = 89  // THROTTLING_QUOTA_EXCEEDED: as many as it may, for now
	codeUnknownTopicID = 100 // UNKNOWN_TOPIC_ID
)
