// Package preflight tries at a bucket what a role must be able to do, and what it must not.
//
// It promises to say only what it has seen: a check is ok, failed (what must work does not), excess (what must be denied is
// not) or inconclusive (neither was shown). Checks run in one order. It writes fresh keys under _preflight/ alone, but for
// one that must be denied outside, and changes no policy. IAM takes time to spread: what must work is tried for Settle, and
// what must not is looked at again after Again before it is called excess. Run tries everything; Start a few requests' worth.
package preflight

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/creds"
	"github.com/isthmusdata/isthmus/iam/policy"
)

// Result is what a check has shown.
type Result string

// The results.
const (
	OK           Result = "ok"
	Failed       Result = "failed"
	Excess       Result = "excess"
	Inconclusive Result = "inconclusive"
)

// Check is one thing that was tried.
type Check struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	Detail string `json:"detail,omitempty"`
}

// ExitCode is 2 where a role can do more than it should, 1 where it cannot do what it must, 3 where that could not be shown,
// and 0.
func ExitCode(checks []Check) int {
	code := 0
	for _, c := range checks {
		switch {
		case c.Result == Excess:
			return 2
		case c.Result == Failed:
			code = 1
		case c.Result == Inconclusive && code == 0:
			code = 3
		}
	}
	return code
}

// Options say what is tried, and where.
type Options struct {
	Role    iam.Role // produce, fetch or jobs
	Layout  policy.Layout
	S3      *s3.Client
	Outside bool // the object _outside/canary is there

	// Identity says who the credentials are, and Other begins a session of another group's role; nil: not tried.
	Identity func(context.Context) error
	Other    func(context.Context) error
	// Clock and Endpoint look at how STS answered Identity; nil: not looked at. They are asked once, for waiting mends neither.
	Clock    func() error
	Endpoint func() error

	Settle, Again time.Duration
	Wait          func(context.Context, time.Duration) error // nil: by the machine's clock
}

type answer int

const (
	allowed answer = iota
	denied
	exists
	unclear
)

type runner struct {
	Options
	checks []Check
}

// What Run and Start both try.
const (
	putNew     = "put a new object, If-None-Match"
	getPut     = "get the object just put"
	getCanary  = "get the canary"
	putByFetch = "put an object, If-None-Match"
	putOver    = "put an object without If-None-Match"
	listData   = "list the cluster's prefix"
)

func newRunner(o Options) *runner {
	if o.Wait == nil {
		o.Wait = wait
	}
	return &runner{Options: o}
}

// Start tries the cheap half, which an agent does before it serves: that produce can put, and neither read nor overwrite,
// that fetch can read the canary, and not put, and that neither can list. It makes four requests, or three.
func Start(ctx context.Context, o Options) []Check {
	r := newRunner(o)
	switch o.Role {
	case iam.Produce:
		own := r.key()
		if r.must(ctx, putNew, r.put(own, true)) == OK {
			r.mustNot(ctx, getPut, r.get(own))
		} else {
			// Who may not list is refused a missing object, too.
			r.add(getPut, Inconclusive, "nothing could be put")
		}
		r.mustNot(ctx, putOver, r.put(r.key(), false))
	case iam.Fetch:
		r.must(ctx, getCanary, r.canary)
		r.mustNot(ctx, putByFetch, r.put(r.key(), true))
	}
	r.mustNot(ctx, listData, r.list(o.Layout.Key("data/")))
	return r.checks
}

// Run tries everything, in order.
func Run(ctx context.Context, o Options) []Check {
	r := newRunner(o)
	if o.Identity != nil {
		r.must(ctx, "identity: the credentials are those of the role", o.Identity)
	}
	if o.Clock != nil {
		r.checks = append(r.checks, Look("clock: this machine's is right", o.Clock))
	}
	if o.Endpoint != nil {
		r.checks = append(r.checks, Look("endpoint: STS of the region is asked", o.Endpoint))
	}
	if o.Other != nil {
		r.mustNot(ctx, "assume another group's role", o.Other)
	}
	own := r.key()
	switch o.Role {
	case iam.Produce:
		r.must(ctx, putNew, r.put(own, true))
		r.once(ctx, own)
		r.mustNot(ctx, getPut, r.get(own))
		r.mustNot(ctx, "head the object just put", r.head(own))
	case iam.Fetch:
		r.must(ctx, getCanary, r.canary)
	case iam.Jobs:
		r.must(ctx, putNew, r.put(own, true))
		r.once(ctx, own)
		r.must(ctx, getPut, r.get(own))
		r.must(ctx, "list the probes", r.list(o.Layout.Key(policy.Probes)))
		r.must(ctx, "delete the object just put", r.delete(own))
	}
	if o.Role == iam.Fetch {
		r.mustNot(ctx, putByFetch, r.put(r.key(), true))
	}
	r.mustNot(ctx, putOver, r.put(r.key(), false))
	if o.Role != iam.Jobs {
		r.mustNot(ctx, listData, r.list(o.Layout.Key("data/")))
		r.mustNot(ctx, "delete an object", r.delete(own)) // 204 although it is not there, where it is allowed
	}
	r.mustNot(ctx, "list the whole bucket", r.list(""))
	r.mustNot(ctx, "put an object outside the cluster's prefix", r.put("_outside/isthmus-preflight-"+rand.Text(), true))
	if o.Role != iam.Produce {
		const name = "get an object outside the cluster's prefix"
		if o.Outside {
			r.mustNot(ctx, name, r.get(policy.Outside))
		} else {
			// Who may not list is refused a missing object, too: a refusal would show nothing.
			r.add(name, Inconclusive, policy.Outside+" is not known to be there: put it, and say so")
		}
	}
	r.mustNot(ctx, "anything at a bucket of another owner", r.owner)
	return r.checks
}

func (r *runner) add(name string, result Result, detail string) Result {
	r.checks = append(r.checks, Check{name, result, detail})
	return result
}

// must tries until it works, or time is up.
func (r *runner) must(ctx context.Context, name string, try func(context.Context) error) Result {
	const pause = 5 * time.Second
	for waited := time.Duration(0); ; waited += pause {
		err := try(ctx)
		a := classify(err)
		switch {
		case a == allowed:
			return r.add(name, OK, "")
		case a == unclear:
			return r.add(name, Inconclusive, err.Error())
		case waited >= r.Settle || r.Wait(ctx, pause) != nil:
			return r.add(name, Failed, fmt.Sprintf("%v (isthmus iam policy prints what the role needs)", err))
		}
	}
}

// Look is what one look shows, where waiting mends nothing.
func Look(name string, look func() error) Check {
	c := Check{Name: name, Result: OK}
	err := look()
	if err == nil {
		return c
	}
	c.Result, c.Detail = Inconclusive, err.Error()
	if classify(err) == denied {
		c.Result = Failed
	}
	return c
}

// mustNot looks again before it says that too much is allowed.
func (r *runner) mustNot(ctx context.Context, name string, try func(context.Context) error) {
	err := try(ctx)
	if classify(err) == allowed && r.Wait(ctx, r.Again) == nil {
		err = try(ctx)
	}
	switch a := classify(err); a {
	case denied:
		r.add(name, OK, "")
	case unclear:
		r.add(name, Inconclusive, err.Error())
	default:
		r.add(name, Excess, "it is allowed (isthmus iam policy prints all that the role should have)")
	}
}

// once wants an object not to be put over another.
func (r *runner) once(ctx context.Context, key string) {
	const name = "put it again"
	switch err := r.put(key, true)(ctx); classify(err) {
	case exists:
		r.add(name, OK, "")
	case allowed:
		r.add(name, Excess, "the server puts one object over another although it was asked not to")
	default:
		r.add(name, Inconclusive, err.Error())
	}
}

type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// Denied marks an error of Options.Identity and Options.Other as a refusal.
func Denied(err error) error { return refusal{err} }

func classify(err error) answer {
	if err == nil {
		return allowed
	}
	var no refusal
	if errors.As(err, &no) {
		return denied
	}
	var response *awshttp.ResponseError
	var api smithy.APIError
	var credentials *creds.Error
	if errors.As(err, &credentials) { // what STS has refused says nothing of the bucket
		return unclear
	}
	if !errors.As(err, &response) {
		return unclear
	}
	code := ""
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	switch response.HTTPStatusCode() {
	case http.StatusPreconditionFailed:
		return exists
	case http.StatusForbidden:
		if code == "AccessDenied" || code == "Forbidden" || code == "" { // HEAD has no body to say more
			return denied
		}
	}
	return unclear // such as a wrong signature, or nobody there
}

func (r *runner) key() string { return r.Layout.Key(policy.Probes + "doctor/" + rand.Text()) }

func (r *runner) bucket() *string { return aws.String(r.Layout.Bucket) }

// account is that which must own the bucket; nil: not known.
func (r *runner) account() *string {
	if r.Layout.Account == "" {
		return nil
	}
	return aws.String(r.Layout.Account)
}

func (r *runner) put(key string, once bool) func(context.Context) error {
	return func(ctx context.Context) error {
		in := &s3.PutObjectInput{Bucket: r.bucket(), Key: &key, Body: bytes.NewReader([]byte("isthmus doctor\n")), ExpectedBucketOwner: r.account()}
		if once {
			in.IfNoneMatch = aws.String("*")
		}
		if key := r.Layout.KMSKey; key != "" && r.Role != iam.Fetch { // the bucket may refuse what is encrypted otherwise
			in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &key
		}
		_, err := r.S3.PutObject(ctx, in)
		return err
	}
}

func (r *runner) get(key string) func(context.Context) error {
	return func(ctx context.Context) error {
		out, err := r.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: r.bucket(), Key: &key, ExpectedBucketOwner: r.account()})
		if err == nil {
			out.Body.Close()
		}
		return err
	}
}

func (r *runner) head(key string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := r.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: r.bucket(), Key: &key, ExpectedBucketOwner: r.account()})
		return err
	}
}

func (r *runner) list(prefix string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := r.S3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
			Bucket: r.bucket(), Prefix: &prefix, MaxKeys: aws.Int32(1), ExpectedBucketOwner: r.account(),
		})
		return err
	}
}

func (r *runner) delete(key string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := r.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: r.bucket(), Key: &key, ExpectedBucketOwner: r.account()})
		return err
	}
}

func (r *runner) canary(ctx context.Context) error {
	out, err := r.S3.GetObject(ctx, &s3.GetObjectInput{
		Bucket: r.bucket(), Key: aws.String(r.Layout.Key(policy.Canary)), ExpectedBucketOwner: r.account(),
	})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, 1024))
	if err != nil {
		return err
	}
	if want := policy.CanaryBody(r.Layout.Cluster); string(body) != want {
		return Denied(fmt.Errorf("the canary says %q, and not %q: it is another cluster's", strings.TrimSpace(string(body)), strings.TrimSpace(want)))
	}
	return nil
}

// owner asks for a bucket of an account that there is not.
func (r *runner) owner(ctx context.Context) error {
	nobody := aws.String("000000000000")
	if r.Role == iam.Fetch {
		out, err := r.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: r.bucket(), Key: aws.String(r.Layout.Key(policy.Canary)), ExpectedBucketOwner: nobody})
		if err == nil {
			out.Body.Close()
		}
		return err
	}
	_, err := r.S3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: r.bucket(), Key: aws.String(r.key()), IfNoneMatch: aws.String("*"), ExpectedBucketOwner: nobody, Body: bytes.NewReader(nil),
	})
	return err
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
