package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/spf13/cobra"

	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/creds"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/preflight"
	"github.com/isthmusdata/isthmus/internal/objstore/open"
)

const doctorTimeout = 5 * time.Minute

// doctor is what isthmus doctor is told.
type doctor struct {
	bucket, role, arn, external, other, endpoint string
	layout                                       policy.Layout
	outside                                      bool
}

func newDoctor() *cobra.Command {
	var d doctor
	cmd := &cobra.Command{
		Use: "doctor", Short: "Try what a role must be able to do at the bucket, and what it must not",
		Long: `doctor assumes the role as an agent would and tries, in this order: who the credentials are, by which clock and which STS, whether another group's role can be
assumed, what must work, and what must be denied. It writes fresh keys under _preflight/ alone. What must work is tried for
a minute, for IAM takes time to spread.

It exits 0 when all is as it should be, 1 when something that must work does not, 2 when the role can do more than it should,
and 3 when something could not be tried, a wrong command line included. Of these, 2 goes before 1, and 1 before 3.`,
		Example: `  isthmus doctor --bucket s3://b?region=eu-west-1 --role produce --cluster c --share s --group g --role-arn arn:aws:iam::111111111111:role/isthmus-c-s-g-produce
  isthmus doctor --bucket s3://b?region=eu-west-1 --role fetch --cluster c --share s --group g -o json`,
	}
	f := cmd.Flags()
	f.StringVar(&d.bucket, "bucket", "", "URL of the bucket, such as s3://acme-stream?region=eu-west-1")
	f.StringVar(&d.role, "role", "", "produce, fetch or jobs")
	f.StringVar(&d.layout.Cluster, "cluster", "", "cluster")
	f.StringVar(&d.layout.Share, "share", "", "share")
	f.StringVar(&d.layout.Group, "group", "", "group of agents")
	f.StringVar(&d.arn, "role-arn", "", "role to assume (default: the credentials of this machine as they are)")
	f.StringVar(&d.external, "external-id", "", "external id (default CLUSTER/GROUP)")
	f.StringVar(&d.other, "other-role-arn", "", "another group's role, which must not be assumed")
	f.StringVar(&d.endpoint, "sts-endpoint", "", "URL of STS, where it is not AWS's")
	f.BoolVar(&d.outside, "outside-canary", false, "an object "+policy.Outside+" is at the bucket's root, so that a refusal to read it shows something")
	out := addOutputFlag(cmd)
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return exitError{3, flagFault(cmd, err)} })
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), doctorTimeout)
		defer cancel()
		o, err := d.options(ctx)
		if err != nil {
			return exitError{3, err}
		}
		checks := preflight.Run(ctx, o)
		rows := make([][]any, len(checks))
		for i, c := range checks {
			rows[i] = []any{c.Result, c.Name, c.Detail}
		}
		if err := (&operator{out: cmd.OutOrStdout(), json: out.json()}).print(checks, "RESULT\tCHECK\tDETAIL", rows); err != nil {
			return exitError{3, err}
		}
		switch code := preflight.ExitCode(checks); code {
		case 0:
			return nil
		case 1:
			return exitError{code, errors.New("something that must work does not")}
		case 2:
			return exitError{code, errors.New("the role can do more than it should")}
		default:
			return exitError{code, errors.New("something could not be tried")}
		}
	}
	return cmd
}

func (d *doctor) options(ctx context.Context) (o preflight.Options, err error) {
	spec, err := open.Parse(d.bucket)
	if err != nil {
		return o, fmt.Errorf("--bucket: %w", err)
	}
	if spec.Scheme != "s3" {
		return o, fmt.Errorf("--bucket %s: not checked, for no IAM stands before it", d.bucket)
	}
	if spec.S3.CAFile != "" {
		return o, errors.New("--bucket: doctor does not take ca: set AWS_CA_BUNDLE")
	}
	role := iam.Role(d.role)
	if role != iam.Produce && role != iam.Fetch && role != iam.Jobs {
		return o, fmt.Errorf("--role %q: write produce, fetch or jobs", d.role)
	}
	d.layout.Bucket, d.layout.Prefix, d.layout.Region = spec.S3.Bucket, spec.Prefix, spec.S3.Region
	if _, err := policy.Permission(role, d.layout); err != nil {
		return o, fmt.Errorf("%w (try: isthmus doctor --help)", err)
	}
	if d.layout.Group == "" {
		return o, errors.New("--group is missing: name the group of agents whose role it is")
	}
	sdk, err := config.LoadDefaultConfig(ctx, config.WithRegion(spec.S3.Region))
	if err != nil {
		return o, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if sdk.Region == "" {
		sdk.Region = "us-east-1" // a server other than AWS; AWS itself says which region is right
	}
	own := sdk.Credentials
	o = preflight.Options{Role: role, Layout: d.layout, Outside: d.outside, Settle: time.Minute, Again: 30 * time.Second}
	if d.arn != "" {
		provider, err := d.assume(ctx, d.arn, sdk.Region, own)
		if err != nil {
			return o, err
		}
		sdk.Credentials = provider
		asked := &stsAnswer{region: sdk.Region, custom: d.endpoint != ""}
		o.Identity, o.Clock, o.Endpoint = d.identity(sdk, asked), asked.clock, asked.endpoint
	}
	if d.other != "" {
		o.Other = func(ctx context.Context) error {
			provider, err := d.assume(ctx, d.other, sdk.Region, own)
			if err == nil {
				_, err = provider.Retrieve(ctx)
			}
			return trustDenied(err)
		}
	}
	o.S3 = s3.NewFromConfig(sdk, func(so *s3.Options) {
		if spec.S3.Endpoint != "" {
			so.BaseEndpoint = &spec.S3.Endpoint
		}
		so.UsePathStyle = spec.S3.PathStyle
		so.Retryer = aws.NopRetryer{}
		so.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	})
	return o, nil
}

func (d *doctor) assume(ctx context.Context, arn, region string, own aws.CredentialsProvider) (*creds.Provider, error) {
	o := creds.Default()
	o.RoleARN, o.ExternalID, o.Group, o.Agent, o.Region, o.STSEndpoint, o.Source = arn, d.external, d.layout.Group, "doctor", region, d.endpoint, own
	if o.ExternalID == "" {
		o.ExternalID = d.layout.Cluster + "/" + d.layout.Group
	}
	return creds.New(ctx, o)
}

func trustDenied(err error) error {
	if errors.Is(err, creds.ErrTrustDenied) {
		return preflight.Denied(err)
	}
	return err
}

// stsAnswer is how STS answered who the credentials are.
type stsAnswer struct {
	region string
	custom bool // --sts-endpoint names where it is
	host   string
	ahead  time.Duration // of this machine's clock
	dated  bool
}

func (a *stsAnswer) note(out *sts.GetCallerIdentityOutput, now time.Time) {
	raw, ok := awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response)
	if !ok {
		return
	}
	if raw.Request != nil {
		a.host = raw.Request.URL.Host
	}
	if date, err := http.ParseTime(raw.Header.Get("Date")); err == nil {
		a.ahead, a.dated = now.Sub(date).Round(time.Second), true
	}
}

// farClock is from where on AWS refuses requests, with a minute to spare; lateClock, when it should be looked at.
const (
	lateClock = time.Minute
	farClock  = 4 * time.Minute
)

func (a *stsAnswer) clock() error {
	switch {
	case !a.dated:
		return errors.New("STS did not say what time it is")
	case a.ahead.Abs() > farClock:
		return preflight.Denied(fmt.Errorf("it is %v ahead of STS's: AWS refuses requests from 5 minutes on (set this machine's clock, and keep it by NTP)", a.ahead))
	case a.ahead.Abs() > lateClock:
		return fmt.Errorf("it is %v ahead of STS's: not enough to be refused, and more than a clock that is kept by NTP", a.ahead)
	}
	return nil
}

// endpoint wants STS of the region: sessions of the global one do not hold in regions that are turned on one by one, and it
// fails with one region.
func (a *stsAnswer) endpoint() error {
	switch {
	case a.custom:
		return nil // as it was asked for
	case a.host == "":
		return errors.New("STS did not answer")
	case !strings.Contains(a.host, a.region):
		return preflight.Denied(fmt.Errorf("%s was asked, and not that of %s (set AWS_REGION, and unset AWS_ENDPOINT_URL_STS and AWS_STS_REGIONAL_ENDPOINTS)", a.host, a.region))
	}
	return nil
}

// identity wants the credentials to be a session of the role.
func (d *doctor) identity(sdk aws.Config, asked *stsAnswer) func(context.Context) error {
	client := sts.NewFromConfig(sdk, func(o *sts.Options) {
		if d.endpoint != "" {
			o.BaseEndpoint = &d.endpoint
		}
	})
	return func(ctx context.Context) error {
		answer, err := client.GetCallerIdentity(ctx, nil)
		if err != nil {
			return trustDenied(err)
		}
		asked.note(answer, time.Now())
		parts := strings.SplitN(d.arn, ":", 6)
		want := ":" + parts[4] + ":assumed-role/" + *roleName(d.arn) + "/"
		if got := aws.ToString(answer.Arn); !strings.Contains(got, want) {
			return preflight.Denied(fmt.Errorf("the credentials are %s, and no session of %s", got, d.arn))
		}
		return nil
	}
}
