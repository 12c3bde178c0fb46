package creds

import (
	"errors"
	"fmt"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// The classes of errors; errors.Is finds them.
var (
	ErrTrustDenied     = errors.New("the role may not be assumed")
	ErrStorageDenied   = errors.New("the bucket denies access")
	ErrChainedDuration = errors.New("the session is too long")
	ErrClockSkew       = errors.New("the clock is wrong")
	ErrRegion          = errors.New("the region is wrong or missing")
	ErrSource          = errors.New("no credentials of the agent's own account")
	ErrRequest         = errors.New("STS does not take the request")
	ErrExpired         = errors.New("the credentials have expired")
	ErrUnavailable     = errors.New("STS does not answer")
)

// classes name the errors in metrics; nobody writes to it.
var classes = []struct {
	err  error
	name string
}{
	{ErrTrustDenied, "trust_denied"}, {ErrStorageDenied, "storage_denied"}, {ErrChainedDuration, "chained_duration"}, {ErrClockSkew, "clock_skew"},
	{ErrRegion, "region"}, {ErrSource, "source"}, {ErrRequest, "request"}, {ErrExpired, "expired"}, {ErrUnavailable, "unavailable"},
}

// Class names the class of an error in one word; no error is ok.
func Class(err error) string {
	if err == nil {
		return "ok"
	}
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	return "other"
}

// Error says which credentials could not be had and why.
type Error struct {
	Class error  // one of those above
	Role  string // ARN; empty: the agent's own credentials
	Cause error  // may be nil
	Try   string // what a person can try
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("credentials")
	if e.Role != "" {
		b.WriteString(" of " + e.Role)
	}
	fmt.Fprintf(&b, ": %v", e.Class)
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	if e.Try != "" {
		fmt.Fprintf(&b, "; try: %s", e.Try)
	}
	return b.String()
}

// Unwrap lets errors.Is find the class; the cause is for people.
func (e *Error) Unwrap() error { return e.Class }

// Temporary says whether waiting alone may help.
func (e *Error) Temporary() bool {
	var cause *Error
	return errors.Is(e, ErrUnavailable) || errors.Is(e, ErrExpired) && errors.As(e.Cause, &cause) && cause.Temporary()
}

// sourced marks an error of getting the agent's own credentials.
type sourced struct{ error }

func (e sourced) Unwrap() error { return e.error }

// classify makes an error of what the SDK said about a call of STS.
func (p *Provider) classify(err error) *Error {
	e := &Error{Role: p.o.RoleARN, Cause: shorten(err), Class: ErrUnavailable, Try: "look whether " + p.endpoint() + " can be reached from here"}
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var own sourced
	if errors.As(err, &own) {
		e.Class, e.Try = ErrSource, "attach a role to the task, pod or instance, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"
		return e
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return e
	}
	switch code, text := api.ErrorCode(), api.ErrorMessage(); {
	case isSkew(code):
		e.Class, e.Try = ErrClockSkew, "set this machine's clock; if it is right, look at the secret key"
	case code == "AccessDenied":
		e.Class, e.Try = ErrTrustDenied, p.tryTrust()
	case strings.Contains(text, "DurationSeconds exceeds"):
		e.Class, e.Try = ErrChainedDuration, "ask for 1h or less with --session-duration: a session begun from a session of a role never lasts longer"
	case code == "RegionDisabledException":
		e.Class, e.Try = ErrRegion, "enable the region's STS in the account of the role, or name another region"
	case p.o.Mode == WebIdentity && (code == "ExpiredTokenException" || code == "ExpiredToken" || code == "InvalidIdentityToken" || code == "IDPRejectedClaim"):
		e.Class, e.Try = ErrSource, "look at the token in "+p.o.TokenFile+", which the platform renews, and at the account's identity provider"
	case code == "ExpiredToken", code == "ExpiredTokenException", code == "InvalidClientTokenId", code == "UnrecognizedClientException", code == "MissingAuthenticationToken":
		e.Class, e.Try = ErrSource, "renew the credentials of the agent's own account: those that it has are refused"
	case code == "ValidationError", code == "MalformedPolicyDocument", code == "PackedPolicyTooLarge", code == "InvalidParameterValue":
		e.Class, e.Try = ErrRequest, "look at the role's ARN, the external id and the session policy"
	}
	return e
}

func isSkew(code string) bool {
	switch code {
	case "RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", "SignatureDoesNotMatch", "InvalidSignatureException":
		return true
	}
	return false
}

// tryTrust cannot tell what of the trust is not met: STS says the same for all of it, and for a role that is not there.
func (p *Provider) tryTrust() string {
	if p.o.Mode == WebIdentity {
		return "look whether the role trusts the issuer, subject and audience of the token; AWS does not tell which is missing, nor whether there is the role"
	}
	external := "none"
	if p.o.ExternalID != "" {
		external = p.o.ExternalID
	}
	return fmt.Sprintf("look whether the role trusts this identity with the external id %s and the session name %s, and whether its own policy lets it assume the role; "+
		"AWS does not tell which is missing, nor whether there is the role (isthmus iam trust prints what is wanted)", external, p.session)
}

// shorten keeps of the SDK's error what a person needs.
func shorten(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return err
	}
	text := api.ErrorCode()
	if m := api.ErrorMessage(); m != "" && m != text {
		text += " (" + m + ")"
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.ServiceRequestID() != "" {
		text += ", request " + response.ServiceRequestID()
	}
	return errors.New(text)
}

// answeredAt is the Date of an answer that was an error.
func answeredAt(err error) (date string) {
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.Response != nil {
		return response.Response.Header.Get("Date")
	}
	return ""
}

// refused says whether STS calls the agent's own credentials expired or unknown.
func refused(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException":
		return true
	}
	return false
}
