package preflight

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/creds"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/standin"
)

var layout = policy.Layout{Bucket: "bucket", Cluster: "main", Share: "orders", Group: "prod"}

// run tries a role whose policy is the printed one, changed.
func run(t *testing.T, role iam.Role, change func(*policy.Document), more func(*Options)) ([]Check, time.Duration) {
	t.Helper()
	return runBy(t, Run, role, change, more)
}

func runBy(t *testing.T, try func(context.Context, Options) []Check, role iam.Role, change func(*policy.Document), more func(*Options)) ([]Check, time.Duration) {
	t.Helper()
	const account = "111111111111"
	w := standin.New(standin.Options{})
	w.Bucket(account, layout.Bucket)
	w.PutObject(layout.Bucket, layout.Key(policy.Canary), []byte(policy.CanaryBody(layout.Cluster)))
	w.PutObject(layout.Bucket, policy.Outside, []byte("outside"))
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	d, err := policy.Permission(role, layout)
	if err != nil {
		t.Fatal(err)
	}
	change(&d)
	id, secret := w.User(account, "agent")
	w.SetPermission(w.UserARN(account, "agent"), d)
	client := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), UsePathStyle: true, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""), RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
	})
	var waited time.Duration
	o := Options{
		Role: role, Layout: layout, S3: client, Outside: true, Settle: time.Minute, Again: 30 * time.Second,
		Wait: func(_ context.Context, d time.Duration) error { waited += d; return nil },
	}
	if more != nil {
		more(&o)
	}
	return try(context.Background(), o), waited
}

func unchanged(*policy.Document) {}

func TestRightRolesPass(t *testing.T) {
	for _, role := range []iam.Role{iam.Produce, iam.Fetch, iam.Jobs} {
		checks, waited := run(t, role, unchanged, nil)
		if ExitCode(checks) != 0 || waited != 0 || len(checks) < 7 {
			t.Errorf("%s: waited %v: %+v", role, waited, checks)
		}
	}
}

// TestTooWideIsExcess adds to each role, one by one, every right that it must not have.
func TestTooWideIsExcess(t *testing.T) {
	const all = "arn:aws:s3:::bucket/*"
	for name, c := range map[string]struct {
		role             iam.Role
		action, resource string
		check            string
	}{
		"produce reads":           {iam.Produce, "s3:GetObject", all, "get the object just put"},
		"produce overwrites":      {iam.Produce, "s3:PutObject", "arn:aws:s3:::bucket/main/*", "put an object without If-None-Match"},
		"produce lists":           {iam.Produce, "s3:ListBucket", "arn:aws:s3:::bucket", "list the cluster's prefix"},
		"produce deletes":         {iam.Produce, "s3:DeleteObject", all, "delete an object"},
		"produce writes outside":  {iam.Produce, "s3:PutObject", "arn:aws:s3:::bucket/_outside/*", "put an object outside the cluster's prefix"},
		"fetch writes":            {iam.Fetch, "s3:PutObject", all, "put an object, If-None-Match"},
		"fetch lists":             {iam.Fetch, "s3:ListBucket", "arn:aws:s3:::bucket", "list the whole bucket"},
		"fetch deletes":           {iam.Fetch, "s3:DeleteObject", all, "delete an object"},
		"fetch reads outside":     {iam.Fetch, "s3:GetObject", all, "get an object outside the cluster's prefix"},
		"jobs lists everything":   {iam.Jobs, "s3:ListBucket", "arn:aws:s3:::bucket", "list the whole bucket"},
		"jobs reads outside":      {iam.Jobs, "s3:GetObject", all, "get an object outside the cluster's prefix"},
		"jobs overwrites":         {iam.Jobs, "s3:PutObject", all, "put an object without If-None-Match"},
		"an administrator's role": {iam.Produce, "s3:*", "*", "head the object just put"},
	} {
		t.Run(name, func(t *testing.T) {
			checks, waited := run(t, c.role, func(d *policy.Document) {
				d.Statement = append(d.Statement, policy.Statement{Effect: "Allow", Action: policy.Strings{c.action}, Resource: policy.Strings{c.resource}})
			}, nil)
			if got := result(checks, c.check); got != Excess || ExitCode(checks) != 2 || waited < 30*time.Second {
				t.Errorf("%q is %q: exit %d, waited %v: %+v", c.check, got, ExitCode(checks), waited, checks)
			}
		})
	}
}

// TestStartIsTheCheapHalf: the right role passes without a wait, what it tries is among what the whole tries, and what is
// not shown is not called right.
func TestStartIsTheCheapHalf(t *testing.T) {
	for _, role := range []iam.Role{iam.Produce, iam.Fetch} {
		checks, waited := runBy(t, Start, role, unchanged, nil)
		if ExitCode(checks) != 0 || waited != 0 || len(checks) < 3 || len(checks) > 4 {
			t.Errorf("%s: waited %v: %+v", role, waited, checks)
		}
		whole, _ := run(t, role, unchanged, nil)
		for _, c := range checks {
			if result(whole, c.Name) != OK {
				t.Errorf("%s: %q is not of the whole", role, c.Name)
			}
		}
		checks, _ = runBy(t, Start, role, func(d *policy.Document) {
			d.Statement = append(d.Statement, policy.Statement{Effect: "Allow", Action: policy.Strings{"s3:*"}, Resource: policy.Strings{"*"}})
		}, nil)
		for _, c := range checks[1:] {
			if c.Result != Excess {
				t.Errorf("%s that may do everything: %+v", role, c)
			}
		}
		checks, _ = runBy(t, Start, role, unchanged, func(o *Options) {
			o.S3 = s3.New(o.S3.Options(), func(so *s3.Options) { so.Credentials = refusedBySTS{} })
		})
		for _, c := range checks {
			if c.Result != Inconclusive {
				t.Errorf("%s that may not be assumed: %+v", role, c)
			}
		}
	}
	checks, _ := runBy(t, Start, iam.Produce, func(d *policy.Document) { d.Statement = nil }, func(o *Options) { o.Settle = 0 })
	if checks[0].Result != Failed || result(checks, getPut) != Inconclusive {
		t.Errorf("produce that may do nothing: %+v", checks)
	}
}

// refusedBySTS has no credentials, for the role may not be assumed: a 403, and not the bucket's.
type refusedBySTS struct{}

func (refusedBySTS) Retrieve(context.Context) (aws.Credentials, error) {
	response := &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusForbidden}}}
	return aws.Credentials{}, &creds.Error{Class: creds.ErrTrustDenied, Cause: &awshttp.ResponseError{ResponseError: response}}
}

func result(checks []Check, name string) Result {
	for _, c := range checks {
		if c.Name == name {
			return c.Result
		}
	}
	return ""
}

// TestMissingRightFails takes each statement away.
func TestMissingRightFails(t *testing.T) {
	for _, role := range []iam.Role{iam.Produce, iam.Fetch, iam.Jobs} {
		whole, err := policy.Permission(role, layout)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range whole.Statement {
			checks, waited := run(t, role, func(d *policy.Document) { d.Statement[i].Resource = policy.Strings{"arn:aws:s3:::other"} }, nil)
			if ExitCode(checks) != 1 || waited < time.Minute {
				t.Errorf("%s without %s: exit %d after %v: %+v", role, s.Sid, ExitCode(checks), waited, checks)
			}
		}
	}
}

// TestWhatIsNotShownIsInconclusive: no decoy, and nobody there.
func TestWhatIsNotShownIsInconclusive(t *testing.T) {
	for name, more := range map[string]func(*Options){
		"no decoy": func(o *Options) { o.Outside = false },
		"nobody there": func(o *Options) {
			options := o.S3.Options()
			options.BaseEndpoint = aws.String("http://127.0.0.1:1")
			o.S3 = s3.New(options)
		},
	} {
		checks, _ := run(t, iam.Fetch, unchanged, more)
		if ExitCode(checks) != 3 {
			t.Errorf("%s: exit %d: %+v", name, ExitCode(checks), checks)
		}
	}
}

// TestAnotherClustersCanaryFails: the key can be read, and what lies there is not this cluster's.
func TestAnotherClustersCanaryFails(t *testing.T) {
	checks, _ := run(t, iam.Fetch, unchanged, func(o *Options) {
		o.S3 = s3.New(o.S3.Options(), func(so *s3.Options) { so.HTTPClient = otherCanary{} })
	})
	if got := result(checks, "get the canary"); got != Failed {
		t.Errorf("%q: %+v", got, checks)
	}
}

// otherCanary answers every request with the canary of another cluster.
type otherCanary struct{}

func (otherCanary) Do(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(policy.CanaryBody("other")))}, nil
}

func TestIdentityAndTrust(t *testing.T) {
	refuse := func(context.Context) error { return Denied(context.Canceled) }
	let := func(context.Context) error { return nil }
	checks, _ := run(t, iam.Fetch, unchanged, func(o *Options) { o.Identity, o.Other = let, refuse })
	if ExitCode(checks) != 0 {
		t.Errorf("%+v", checks)
	}
	checks, _ = run(t, iam.Fetch, unchanged, func(o *Options) { o.Identity, o.Other = refuse, let })
	if checks[0].Result != Failed || checks[1].Result != Excess || ExitCode(checks) != 2 {
		t.Errorf("%+v", checks)
	}
}
