package s3store

import (
	"context"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Renewer is a provider of credentials that can get others when the server refuses those that it gave.
type Renewer interface {
	// Refused is told which access key a request was signed with and by which code it was refused. It reports whether
	// there are other credentials now.
	Refused(ctx context.Context, accessKey, op, code string) bool
}

// usedKey is where a request's context keeps the access key that it was signed with.
type usedKey struct{}

// do sends a request by f, and sends it again once where its credentials were refused and others can be had, or where the SDK
// has learned from the refusal what time it is. A request that was refused was not carried out, so that a put is still
// carried out once at most. f makes its whole request anew each time.
func (r *request) do(ctx context.Context, f func(context.Context) error) error {
	var used string
	err := f(context.WithValue(ctx, usedKey{}, &used))
	if err == nil || !r.again(ctx, used, err) {
		return err
	}
	r.sent.Store(false)
	return f(ctx)
}

// again says whether a refused request is worth being sent again.
func (r *request) again(ctx context.Context, used string, err error) bool {
	response, api := parts(err)
	if response == nil || ctx.Err() != nil {
		return false
	}
	code := code(api)
	if code == "RequestTimeTooSkewed" {
		return clockWrong(response)
	}
	if status := response.HTTPStatusCode(); status != http.StatusForbidden && status != http.StatusUnauthorized && status != http.StatusBadRequest {
		return false
	}
	renewer, ok := r.store.cfg.Credentials.(Renewer)
	return ok && used != "" && renewer.Refused(ctx, used, r.op, code)
}

// clockWrong says whether the server's clock explains that it found a signature too old: if so, the SDK signs by it from now on.
func clockWrong(response *awshttp.ResponseError) bool {
	if response.Response == nil {
		return false
	}
	at, err := http.ParseTime(response.Response.Header.Get("Date"))
	return err == nil && time.Until(at).Abs() > time.Minute
}
