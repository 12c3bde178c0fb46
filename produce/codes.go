package produce

import "github.com/twmb/franz-go/pkg/kerr"

// The Kafka codes this package says of its own accord.
var (
	codeCorrupt          = kerr.CorruptMessage.Code             // 2, retriable: the bytes changed on the way
	codeUnknownTopic     = kerr.UnknownTopicOrPartition.Code    // 3, retriable after a metadata refresh
	codeTooLarge         = kerr.MessageTooLarge.Code            // 10: Java and franz-go split and retry
	codeInternalTopic    = kerr.InvalidTopicException.Code      // 17
	codeRetry            = kerr.NotEnoughReplicas.Code          // 19: see below
	codeAcks             = kerr.InvalidRequiredAcks.Code        // 21
	codeUnauthorized     = kerr.TopicAuthorizationFailed.Code   // 29
	codeTimestamp        = kerr.InvalidTimestamp.Code           // 32
	codePolicy           = kerr.PolicyViolation.Code            // 44
	codeDuplicate        = kerr.DuplicateSequenceNumber.Code    // 46
	codeTxnState         = kerr.InvalidTxnState.Code            // 48
	codeCompression      = kerr.UnsupportedCompressionType.Code // 76
	codeInvalidRecord    = kerr.InvalidRecord.Code              // 87
	codeUnknownTopicID   = kerr.UnknownTopicID.Code             // 100
	codeUnknownServerErr = kerr.UnknownServerError.Code         // -1
)

// codeRetry is NOT_ENOUGH_REPLICAS: a retriable error that says nothing is wrong with the batch, the
// producer or the metadata, and that the batch was not appended, which is what it means here.
// REQUEST_TIMED_OUT would say that it may have been. The sequencer answers a gap with it too, so
// clients meet one code for "send it again".

// text says what a code of the control plane means, for clients that show it to people.
func text(code int16) string {
	switch code {
	case 0:
		return ""
	case codeRetry:
		return "an earlier batch of this producer has not arrived yet, or this one is of an earlier epoch: retry"
	case codeDuplicate:
		return "the batch was stored before; its offset is no longer remembered"
	case codeUnknownTopic, codeUnknownTopicID:
		return "the topic or partition no longer exists"
	}
	if err := kerr.TypedErrorForCode(code); err != nil {
		return err.Description
	}
	return ""
}
