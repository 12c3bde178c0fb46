package walls

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// DeniedByBucket tells whether S3 denied a request: 403 with the code AccessDenied, or without any to a HEAD, which has no
// body. A bad signature, an expired token or an unknown key are 403 too, and no denial.
func DeniedByBucket(err error) (evidence string, denied bool) {
	code, status := httpAnswer(err)
	if status == 0 {
		return brief(said(err)), false
	}
	// An answer to HEAD is named after its status.
	return fmt.Sprintf("%d %s", status, code), status == http.StatusForbidden && (code == "AccessDenied" || code == "Forbidden")
}

// FailedOnCondition tells whether S3 kept an object that was there from being overwritten: 412.
func FailedOnCondition(err error) (evidence string, held bool) {
	code, status := httpAnswer(err)
	if status == 0 {
		return brief(said(err)), false
	}
	return fmt.Sprintf("%d %s", status, code), status == http.StatusPreconditionFailed && code == "PreconditionFailed"
}

// DeniedBySTS tells whether STS refused a role: 403. Ceph gives the reason no code, so whoever asks shows beside it that
// the same caller is let into a role of its own.
func DeniedBySTS(err error) (evidence string, denied bool) {
	code, status := httpAnswer(err)
	if status == 0 {
		return brief(said(err)), false
	}
	known := code == "AccessDenied" || code == "UnknownError" || code == ""
	return fmt.Sprintf("%d %s", status, code), status == http.StatusForbidden && known
}

// InList is an answer to one object of a request for many, as an error with the code that S3 gave it.
func InList(code string) error {
	return &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusForbidden}},
		Err:      &smithy.GenericAPIError{Code: code, Message: "in the list of an answer"},
	}
}

func httpAnswer(err error) (code string, status int) {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		status = response.HTTPStatusCode()
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	return code, status
}

// DeniedByControl tells whether the control plane denied a call, and by which of gRPC's codes: PERMISSION_DENIED to those whom it
// knows, UNAUTHENTICATED to those whom it does not.
func DeniedByControl(err error, want codes.Code) (evidence string, denied bool) {
	if err == nil {
		return "done", false
	}
	if code := status.Code(err); code != want {
		return fmt.Sprintf("%s: %s", code, brief(status.Convert(err).Message())), false
	}
	return want.String(), true
}

// Codes of Kafka by which the walls deny.
const (
	UnknownTopic        = 3
	TopicDenied         = 29
	GroupDenied         = 30
	ClusterDenied       = 31
	TransactionalDenied = 53
	UnknownTopicID      = 100
)

// DeniedWith tells whether Kafka's code is one of those by which an attempt must be denied.
func DeniedWith(code int16, want ...int16) (evidence string, denied bool) {
	return fmt.Sprintf("Kafka error %d", code), slices.Contains(want, code)
}

func said(err error) string {
	if err == nil {
		return "done"
	}
	return err.Error()
}

// brief is the beginning of what was said.
func brief(text string) string {
	if len(text) > 90 {
		text = text[:87] + "..."
	}
	return text
}
