package tunnel

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/isthmusdata/isthmus/control"
)

// Kafka's codes, as this package answers them. Those of kerr are variables; these
// are the same numbers, which a test compares.
const (
	codeUnknownTopicOrPartition  int16 = 3
	codeOffsetMetadataTooLarge   int16 = 12
	codeCoordinatorNotAvailable  int16 = 15
	codeInvalidTopic             int16 = 17
	codeIllegalGeneration        int16 = 22
	codeInvalidGroup             int16 = 24
	codeTopicDenied              int16 = 29
	codeGroupDenied              int16 = 30
	codeClusterDenied            int16 = 31
	codeTopicExists              int16 = 36
	codeInvalidPartitions        int16 = 37
	codeInvalidReplicationFactor int16 = 38
	codeInvalidReplicaAssignment int16 = 39
	codeInvalidConfig            int16 = 40
	codeInvalidRequest           int16 = 42
	codePolicyViolation          int16 = 44
	codeTransactionalIDDenied    int16 = 53
	codeNonEmptyGroup            int16 = 68
	codeGroupNotFound            int16 = 69
	codeFencedLeaderEpoch        int16 = 74
	codeUnknownLeaderEpoch       int16 = 75
	codeGroupSubscribed          int16 = 86
	codeThrottlingQuota          int16 = 89
	codeUnknownTopicID           int16 = 100
)

// fault is a code with what a person should read beside it.
type fault struct {
	code int16
	text string
}

// message is the text as Kafka's optional one.
func (f *fault) message() *string { return optional(f.text) }

// faultOf explains why the state refuses: in its own words where it has some.
func faultOf(r control.Result) *fault {
	code := r.Code
	if code != 0 && r.Reason != "" {
		return &fault{code, r.Reason}
	}
	switch code {
	case 0:
		return nil
	case codePolicyViolation:
		return &fault{code, "a limit of the cluster is reached: see the control plane's limits"}
	case codeThrottlingQuota:
		return &fault{code, "a limit of the cluster is reached; try again later"}
	}
	text := "the control plane refused"
	if err := kerr.ErrorForCode(code); err != nil {
		text = err.Error()
	}
	return &fault{code, text}
}
