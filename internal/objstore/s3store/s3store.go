package s3store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// Store is a bucket. Its methods may be called concurrently.
type Store struct {
	cfg       Config
	client    *s3.Client
	transport *http.Transport
	tls       bool        // payloads go unsigned
	owner     *string     // nil: not checked
	patient   aws.Retryer // of reads: all but what is throttled is tried again

	// bound limits a request in time; a test puts its own in the place of a timer.
	bound func(context.Context) (context.Context, context.CancelFunc)
}

// New makes a store. It reads the SDK's configuration and speaks to no bucket yet.
func New(ctx context.Context, c Config) (*Store, error) {
	invalid := func(err error, try string) error {
		return &objstore.Error{Op: "open", Name: c.name(), Class: objstore.ErrInvalid, Cause: err, Try: try}
	}
	if err := c.Validate(); err != nil {
		return nil, invalid(err, "")
	}
	transport, err := newTransport(c)
	if err != nil {
		return nil, invalid(err, "name a readable PEM file in ca= or AWS_CA_BUNDLE")
	}
	options := []func(*config.LoadOptions) error{
		config.WithAppID("isthmus"),
		config.WithLogger(logging.Nop{}), // it would write lines of its own to standard error; what matters comes back as errors
	}
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	}
	if c.Credentials != nil {
		options = append(options, config.WithCredentialsProvider(c.Credentials))
	}
	sdk, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, invalid(fmt.Errorf("load the AWS configuration: %w", err), "look at ~/.aws/config and the AWS_ variables")
	}
	s := &Store{cfg: c, transport: transport}
	s.bound = func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeoutCause(ctx, c.Timeout, errTimeout)
	}
	if c.BucketOwner != "" {
		s.owner = aws.String(c.BucketOwner)
	}
	s.client = s3.NewFromConfig(sdk, s.options)
	endpoint := aws.ToString(s.client.Options().BaseEndpoint) // the environment may set one too
	if s.client.Options().Region == "" {
		return nil, invalid(errors.New("no region is configured"), "add ?region=… to the bucket URL, or set AWS_REGION")
	}
	s.tls = !strings.HasPrefix(endpoint, "http://")
	return s, nil
}

func (s *Store) options(o *s3.Options) {
	o.HTTPClient = &http.Client{
		Transport:     s.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if s.cfg.Credentials != nil {
		o.Credentials = s.cfg.Credentials // past the SDK's cache, which would hold on to what has been renewed
	}
	if o.Credentials != nil {
		o.Credentials = namedCredentials{o.Credentials}
	}
	if s.cfg.Endpoint != "" {
		o.BaseEndpoint = aws.String(strings.TrimSuffix(s.cfg.Endpoint, "/"))
	}
	if o.Region == "" && aws.ToString(o.BaseEndpoint) != "" {
		o.Region = "us-east-1" // servers other than AWS sign with it and look at nothing else
	}
	o.UsePathStyle = s.cfg.PathStyle
	// A checksum travels where the caller gave one; the SDK's own trailers break servers that do not know them.
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	o.DisableLogOutputChecksumValidationSkipped = true
	o.ContinueHeaderThresholdBytes = -1 // asking first costs every put a round trip
	o.Retryer = s.retryer(retry.DefaultRetryables)
	s.patient = s.retryer(append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(notThrottled)}, retry.DefaultRetryables...))
}

func (s *Store) retryer(what []retry.IsErrorRetryable) aws.Retryer {
	return tellingRetryer{retry.NewStandard(func(r *retry.StandardOptions) {
		r.MaxAttempts, r.MaxBackoff, r.Retryables = 4, s.cfg.retryWait, what
	})}
}

// tellingRetryer tells whoever counts what is sent again.
type tellingRetryer struct{ *retry.Standard }

// GetRetryToken implements aws.Retryer; the SDK asks for a token each time before it sends a request again.
func (t tellingRetryer) GetRetryToken(ctx context.Context, err error) (func(error) error, error) {
	release, refused := t.Standard.GetRetryToken(ctx, err)
	if refused == nil {
		objstore.Repeat(ctx)
	}
	return release, refused
}

// notThrottled tells a retryer not to send again what the server refused for being one too many: whoever asks knows how much
// else is asked of the bucket, and sends less of it. Sent again in here, they would come four at a time.
func notThrottled(err error) aws.Ternary {
	response, api := parts(err)
	if response == nil && api == nil {
		return aws.UnknownTernary
	}
	if _, class := (&request{}).answered(code(api), status(response)); errors.Is(class, objstore.ErrThrottled) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

// patiently has a read told when the server throttles.
func (s *Store) patiently(o *s3.Options) { o.Retryer = s.patient }

// Client is the SDK's client by which a store of this configuration reaches its bucket, without retries: for who asks what
// the bucket refuses. shut lets its connections go.
func Client(ctx context.Context, c Config) (client *s3.Client, shut func(), err error) {
	s, err := New(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	return s3.New(s.client.Options(), once), s.transport.CloseIdleConnections, nil
}

// once turns the SDK's retries off.
func once(o *s3.Options) { o.Retryer = aws.NopRetryer{} }

// namedCredentials marks the errors of getting credentials, so that they are not taken for the bucket's.
type namedCredentials struct{ aws.CredentialsProvider }

type credentialsError struct{ error }

func (e credentialsError) Unwrap() error { return e.error }

func (n namedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := n.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return c, credentialsError{err}
	}
	if used, ok := ctx.Value(usedKey{}).(*string); ok {
		*used = c.AccessKeyID
	}
	return c, nil
}

// name is the bucket as a URL, for errors.
func (c Config) name() string { return "s3://" + c.Bucket }

// String names the store for logs.
func (s *Store) String() string {
	if s.cfg.Endpoint == "" {
		return s.cfg.name()
	}
	return s.cfg.name() + " at " + s.cfg.Endpoint
}

// Close implements objstore.Store.
func (s *Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}
