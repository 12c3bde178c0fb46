package s3store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// request is one call of the SDK: what is needed to say what became of it.
type request struct {
	store  *Store
	op     string
	name   string
	write  bool            // it changes the bucket
	caller context.Context // the caller's
	sent   atomic.Bool     // headers of it have been written
}

// errTimeout is the cause when Config.Timeout ended a request.
var errTimeout = errors.New("no answer in time")

// begin bounds a request in time and watches whether anything of it is sent.
func (s *Store) begin(ctx context.Context, op, name string, write bool) (*request, context.Context, context.CancelFunc) {
	r := &request{store: s, op: op, name: name, write: write, caller: ctx}
	ctx, cancel := s.bound(ctx)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { r.sent.Store(true) },
	})
	return r, ctx, cancel
}

// failed turns an error of the SDK into one of objstore's. ctx is the request's own, from begin.
func (r *request) failed(ctx context.Context, err error) error {
	e := &objstore.Error{Op: r.op, Name: r.name, Cause: plain{err}}
	response, api := parts(err)
	switch {
	case response != nil || api != nil:
		e.Cause = plain{shorten(err, api, response)}
		e.Try, e.Class = r.answered(code(api), status(response))
	case r.caller.Err() != nil:
		e.Cause = objstore.ContextError(r.caller)
		if r.write && r.sent.Load() {
			e.Class = objstore.ErrUnknownOutcome
		}
	default:
		if ctx.Err() != nil {
			e.Cause = plain{fmt.Errorf("%w: %w", context.Cause(ctx), err)}
		}
		e.Try, e.Class = r.unanswered(err)
	}
	return e
}

// parts finds the answer inside the SDK's error: its status where that says no, and its code.
func parts(err error) (*awshttp.ResponseError, smithy.APIError) {
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() < 300 {
		response = nil
	}
	var api smithy.APIError
	errors.As(err, &api)
	return response, api
}

// plain hides what an error wraps: the timeout of a dial would pass for the end of the caller's context.
type plain struct{ error }

func code(api smithy.APIError) string {
	if api == nil {
		return ""
	}
	return api.ErrorCode()
}

func status(response *awshttp.ResponseError) int {
	if response == nil {
		return 0
	}
	return response.HTTPStatusCode()
}

// shorten keeps of the SDK's error what a person needs.
func shorten(err error, api smithy.APIError, response *awshttp.ResponseError) error {
	if response == nil {
		return err
	}
	text := fmt.Sprintf("status %d", response.HTTPStatusCode())
	if api != nil {
		text += " " + api.ErrorCode()
		if message := api.ErrorMessage(); message != "" && message != api.ErrorCode() {
			text += " (" + message + ")"
		}
	}
	if id := response.ServiceRequestID(); id != "" {
		text += ", request " + id
	}
	return errors.New(text)
}

const (
	tryBucket  = "create the bucket, or look at its name, region and endpoint"
	tryDenied  = "look at the bucket's policy and at who this is (aws sts get-caller-identity)"
	tryRegion  = "name the bucket's region with ?region=…"
	tryClock   = "set this machine's clock"
	tryServer  = "use a server that supports conditional writes (If-None-Match on PUT)"
	tryConnect = "look at the endpoint, DNS and the network's rules"
	tryTrust   = "name the server's CA with ?ca=FILE or AWS_CA_BUNDLE"
	tryKeys    = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or attach a role"
)

// answered classifies an answer of the server: by its code where it has one that says more than the status.
func (r *request) answered(code string, status int) (try string, class error) {
	switch code {
	case "NoSuchBucket":
		return tryBucket, objstore.ErrNoBucket
	case "NoSuchKey", "NoSuchUpload":
		return "", objstore.ErrNotFound
	case "PreconditionFailed":
		return "", objstore.ErrExists
	case "ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "IncompleteBody":
		return "", objstore.ErrUnavailable
	case "SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded", "BandwidthLimitExceeded":
		return "", objstore.ErrThrottled
	case "RequestTimeTooSkewed":
		return tryClock, objstore.ErrDenied
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return tryKeys, objstore.ErrDenied
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException":
		return tryRegion, objstore.ErrInvalid
	case "NotImplemented":
		return tryServer, objstore.ErrInvalid
	case "InternalError": // also inside an answer with status 200
		return "", r.perhaps()
	}
	return r.byStatus(status)
}

func (r *request) byStatus(status int) (try string, class error) {
	switch status {
	case http.StatusPreconditionFailed:
		return "", objstore.ErrExists
	case http.StatusConflict, http.StatusRequestTimeout, http.StatusTemporaryRedirect:
		return "", objstore.ErrUnavailable
	case http.StatusNotFound:
		if r.write {
			return tryBucket, objstore.ErrNoBucket
		}
		return "", objstore.ErrNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return tryDenied, objstore.ErrDenied
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return "", objstore.ErrThrottled
	case http.StatusMovedPermanently:
		return tryRegion, objstore.ErrInvalid
	case http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return tryServer, objstore.ErrInvalid
	}
	if status >= 400 && status < 500 {
		return "", objstore.ErrInvalid
	}
	return "", r.perhaps()
}

// temporary is an error of credentials that says what to try, and whether waiting alone may help.
type temporary interface{ Temporary() bool }

// perhaps is the class of a request that may have been carried out.
func (r *request) perhaps() error {
	if r.write {
		return objstore.ErrUnknownOutcome
	}
	return objstore.ErrUnavailable
}

// unanswered classifies a request that no answer came to. What was sent may have arrived.
func (r *request) unanswered(err error) (try string, class error) {
	var credentials credentialsError
	var network net.Error
	if errors.As(err, &credentials) {
		var known temporary
		switch {
		case errors.As(err, &network):
			return tryConnect, objstore.ErrUnavailable
		case !errors.As(err, &known):
			return tryKeys, objstore.ErrDenied
		case known.Temporary():
			return "", objstore.ErrUnavailable
		}
		return "", objstore.ErrDenied
	}
	if r.sent.Load() {
		return "", r.perhaps()
	}
	if isTrust(err) {
		return tryTrust, objstore.ErrUnavailable
	}
	return tryConnect, objstore.ErrUnavailable
}
