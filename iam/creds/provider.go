package creds

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

const (
	deniedPause   = time.Minute // between renewals that AccessDenied causes
	firstBackoff  = time.Second
	maxBackoff    = 30 * time.Second
	maxPause      = 200 * time.Millisecond // between the attempts of one renewal
	lookAgain     = time.Minute            // timers do not run while a machine sleeps
	jitter        = 0.1                    // of the time until a renewal, to both sides
	exactEnough   = 2 * time.Second        // a Date has whole seconds
	skewWarn      = time.Minute            // from here on the log says so
	skewWrong     = 4 * time.Minute        // from here on signatures are at risk
	sameAgainFrom = 30 * time.Second       // of ambient credentials that have not changed yet
)

// Provider has the credentials of one role for one share. Its methods may be called concurrently; Run renews
// in the background.
type Provider struct {
	o       Options
	session string // its name
	region  string
	source  *source
	sts     *sts.Client // nil: ambient
	wake    chan struct{}

	mu        sync.Mutex
	held      held
	attempted time.Time     // when STS was asked last
	notBefore time.Time     // it is not asked again before
	failures  int           // in a row
	err       *Error        // of the last attempt
	skew      time.Duration // AWS's clock is ahead by
	skewTold  bool
	flight    *flight
}

// held are credentials and their life, by the clock of AWS.
type held struct {
	aws.Credentials
	have      bool
	dead      bool // a bucket said so
	expires   time.Time
	refreshAt time.Time
}

// flight is a renewal under way.
type flight struct {
	done chan struct{}
	err  error // once done is closed
}

// New makes a provider. It reads the SDK's configuration and asks nobody yet.
func New(ctx context.Context, o Options) (*Provider, error) {
	o = o.fill()
	p := &Provider{o: o, wake: make(chan struct{}, 1)}
	if err := o.Validate(); err != nil {
		return nil, &Error{Class: ErrRequest, Role: o.RoleARN, Cause: err}
	}
	options := []func(*config.LoadOptions) error{config.WithAppID("isthmus"), config.WithLogger(logging.Nop{})}
	if o.Region != "" {
		options = append(options, config.WithRegion(o.Region))
	}
	if o.Mode == Ambient { // what is held is held here, until it truly expires
		options = append(options, config.WithCredentialsCacheOptions(func(c *aws.CredentialsCacheOptions) { c.ExpiryWindow = 0 }))
	}
	if o.Source != nil {
		options = append(options, config.WithCredentialsProvider(o.Source))
	}
	if o.Client != nil {
		options = append(options, config.WithHTTPClient(o.Client))
	}
	sdk, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, &Error{Class: ErrSource, Role: o.RoleARN, Cause: err, Try: "look at ~/.aws/config and the AWS_ variables"}
	}
	p.source = &source{inner: sdk.Credentials}
	if p.region = sdk.Region; p.region == "" {
		p.region = o.Near
	}
	if p.region == "" && o.STSEndpoint != "" {
		p.region = "us-east-1" // servers other than AWS sign with it and look at nothing else
	}
	if o.Mode == Ambient {
		return p, nil
	}
	if p.region == "" {
		return nil, &Error{Class: ErrRegion, Role: o.RoleARN, Try: "set AWS_REGION: the STS of a region is asked, never the global one"}
	}
	p.session, err = o.sessionName()
	if err != nil {
		return nil, &Error{Class: ErrRequest, Role: o.RoleARN, Cause: err}
	}
	p.sts = sts.NewFromConfig(sdk, func(s *sts.Options) {
		s.Region = p.region
		s.Credentials = p.source
		if o.STSEndpoint != "" {
			s.BaseEndpoint = aws.String(o.STSEndpoint)
		}
		s.Retryer = retry.NewStandard(func(r *retry.StandardOptions) { r.MaxBackoff = maxPause })
	})
	return p, nil
}

// String names the credentials for logs.
func (p *Provider) String() string {
	if p.o.Mode == Ambient {
		return "the agent's own credentials"
	}
	return p.o.RoleARN + " as " + p.session
}

// now is AWS's time, as far as it is known. The lock is held.
func (p *Provider) now() time.Time {
	now := p.o.Clock.Now()
	if p.skew.Abs() > exactEnough {
		now = now.Add(p.skew)
	}
	return now
}

// valid says whether the credentials can be given out. The lock is held.
func (p *Provider) valid() bool {
	return p.held.have && !p.held.dead && (p.held.expires.IsZero() || p.now().Add(p.o.ExpirySkew).Before(p.held.expires))
}

// Retrieve implements aws.CredentialsProvider. It waits for STS only where there are no valid credentials.
func (p *Provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	for {
		p.mu.Lock()
		if p.valid() {
			defer p.mu.Unlock()
			return p.held.Credentials, nil
		}
		f := p.begin(ctx)
		if f == nil {
			defer p.mu.Unlock()
			return aws.Credentials{}, p.err
		}
		p.mu.Unlock()
		select {
		case <-f.done:
			if f.err != nil {
				return aws.Credentials{}, f.err
			}
		case <-ctx.Done():
			return aws.Credentials{}, ctx.Err()
		}
	}
}

// Renewable is what makes a bucket's answer worth a renewal.
type Renewable int

const (
	never   Renewable = iota
	expired           // the credentials are of no use any more
	denied            // they may be: a session that was revoked is answered so
)

func renewable(code string) Renewable {
	switch code {
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "InvalidClientTokenId":
		return expired
	case "AccessDenied", "Forbidden", "AllAccessDisabled": // Forbidden: of a HEAD, which has no code
		return denied
	}
	return never
}

// Refused is told that a bucket refused a request that was signed with the access key used, and by which code. It reports
// whether there are others now, with which the request can be sent again.
func (p *Provider) Refused(ctx context.Context, used, op, code string) bool {
	what := renewable(code)
	if what == never {
		return false
	}
	p.o.Metrics.denied.WithLabelValues(p.o.Share, p.o.Role, op).Inc()
	p.mu.Lock()
	if p.held.have && p.held.AccessKeyID != used {
		ok := p.valid()
		p.mu.Unlock()
		return ok // renewed since the request was signed
	}
	if what == expired {
		p.held.dead = true
	} else if now := p.o.Clock.Now(); now.Sub(p.attempted) < deniedPause {
		p.mu.Unlock()
		return false
	}
	f := p.begin(ctx)
	p.mu.Unlock()
	if f == nil {
		return false
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.valid() && p.held.AccessKeyID != used
}

// begin returns the renewal that is under way, or begins one; nil while it is too early after a failure. The lock is held.
func (p *Provider) begin(ctx context.Context) *flight {
	if p.flight != nil {
		return p.flight
	}
	if p.err != nil && p.o.Clock.Now().Before(p.notBefore) {
		return nil
	}
	f := &flight{done: make(chan struct{})}
	p.flight = f
	p.attempted = p.o.Clock.Now()
	go func() {
		bounded, cancel := p.bounded(ctx)
		defer cancel()
		got, err := p.fetch(bounded)
		f.err = p.settle(got, err)
		close(f.done)
	}()
	return f
}

// settle takes in the outcome of a renewal.
func (p *Provider) settle(got aws.Credentials, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flight = nil
	share, role := p.o.Share, p.o.Role
	p.o.Metrics.took.WithLabelValues(share, role).Observe(p.o.Clock.Now().Sub(p.attempted).Seconds())
	defer p.look()
	const try = "renew the credentials of the agent's own account"
	switch {
	case err != nil:
	case p.held.dead && got.AccessKeyID == p.held.AccessKeyID:
		err = &Error{Class: ErrExpired, Role: p.o.RoleARN, Cause: errors.New("the platform gives those again that the bucket refused"), Try: try}
	case got.CanExpire && !p.now().Add(p.o.ExpirySkew).Before(got.Expires):
		err = &Error{Class: ErrExpired, Role: p.o.RoleARN, Cause: fmt.Errorf("those that it gets expired at %s", got.Expires.UTC().Format(time.RFC3339)), Try: try}
	}
	if err != nil {
		e := p.classify(err)
		p.o.Metrics.refreshes.WithLabelValues(share, role, Class(e)).Inc()
		p.failed(e)
		return p.err
	}
	p.o.Metrics.refreshes.WithLabelValues(share, role, "ok").Inc()
	if p.err != nil {
		p.o.Log.Info("credentials can be had again", "share", share, "role", role, "of", p.String())
	}
	p.err, p.failures, p.notBefore = nil, 0, time.Time{}
	p.hold(got)
	return nil
}

// failed counts a failure, and says once what it means.
func (p *Provider) failed(e *Error) {
	told := p.err != nil && Class(p.err) == Class(e)
	if p.held.have && !p.valid() && errors.Is(e, ErrUnavailable) {
		e = &Error{Class: ErrExpired, Role: e.Role, Cause: e, Try: e.Try}
		told = p.err != nil && errors.Is(p.err, ErrExpired)
	}
	p.err = e
	p.failures++
	wait := min(firstBackoff<<min(p.failures-1, 10), maxBackoff)
	p.notBefore = p.o.Clock.Now().Add(wait/2 + time.Duration(p.o.Rand()*float64(wait/2)))
	if told {
		return
	}
	if p.valid() {
		p.o.Log.Warn("credentials cannot be renewed; those that there are still hold", "share", p.o.Share, "role", p.o.Role, "until", p.held.expires, "error", e)
	} else {
		p.o.Log.Warn("credentials cannot be had", "share", p.o.Share, "role", p.o.Role, "error", e)
	}
}

// hold takes in new credentials, and when they are to be renewed.
func (p *Provider) hold(got aws.Credentials) {
	now := p.now()
	same := p.held.have && p.held.AccessKeyID == got.AccessKeyID
	h := held{Credentials: got, have: true}
	var until float64
	if got.CanExpire {
		h.expires = got.Expires
		until = float64(got.Expires.Unix())
		life := got.Expires.Sub(now)
		wait := time.Duration(float64(life) * p.o.RefreshFraction * (1 - jitter + 2*jitter*p.o.Rand()))
		if same { // the platform has no newer ones yet
			wait = max(wait, sameAgainFrom)
		}
		h.refreshAt = now.Add(max(wait, firstBackoff))
	}
	p.held = h
	p.o.Metrics.expiry.WithLabelValues(p.o.Share, p.o.Role).Set(until)
}

// measure compares this machine's clock with AWS's.
func (p *Provider) measure(server time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.skew = server.Sub(p.o.Clock.Now())
	p.o.Metrics.skew.WithLabelValues(p.o.Share, p.o.Role).Set(p.skew.Seconds())
	wrong := p.skew.Abs() > skewWarn
	if wrong && !p.skewTold {
		p.o.Log.Warn("this machine's clock is not AWS's: set it, or signatures will be refused", "ahead", (-p.skew).Round(time.Second), "refused_from", "about "+skewWrong.String())
	}
	p.skewTold = wrong
}

// look lets Run see that something has changed.
func (p *Provider) look() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run renews credentials until ctx ends: the first at once, then from the fraction of their life on.
func (p *Provider) Run(ctx context.Context) {
	for {
		wait := p.due()
		if wait <= 0 {
			p.mu.Lock()
			f := p.begin(ctx)
			p.mu.Unlock()
			if f != nil {
				select {
				case <-f.done:
				case <-ctx.Done():
					return
				}
			}
			continue
		}
		timer, stop := p.o.Clock.After(wait)
		select {
		case <-ctx.Done():
			stop()
			return
		case <-p.wake:
			stop()
		case <-timer:
		}
	}
}

// due is how long Run has nothing to do.
func (p *Provider) due() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	local := p.o.Clock.Now()
	wait := lookAgain
	switch {
	case !p.held.have, p.held.dead:
		wait = 0
	case !p.held.expires.IsZero():
		wait = p.held.refreshAt.Sub(p.now())
	}
	if p.err != nil {
		wait = max(wait, p.notBefore.Sub(local))
	}
	return min(wait, lookAgain)
}

// Health is how things stand with credentials.
type Health string

// The healths.
const (
	None    Health = "none"    // they were not needed yet
	Fresh   Health = "fresh"   // valid, and the last renewal went well
	Stale   Health = "stale"   // valid, and the last renewal did not
	Expired Health = "expired" // there are none that hold
	Denied  Health = "denied"  // there will be no others: the role may not be assumed. They may hold for a while yet
)

// State describes credentials to people and tools.
type State struct {
	Health  Health
	Valid   bool
	Expires time.Time     // zero: they do not
	Skew    time.Duration // AWS's clock is ahead by
	Err     error         // of the last renewal
}

// State tells how things stand.
func (p *Provider) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := State{Health: None, Valid: p.valid(), Expires: p.held.expires, Skew: p.skew}
	if p.err != nil {
		s.Err = p.err
	}
	switch {
	case p.err != nil && errors.Is(p.err, ErrTrustDenied):
		s.Health = Denied
	case s.Valid && p.err == nil:
		s.Health = Fresh
	case s.Valid:
		s.Health = Stale
	case p.held.have || p.err != nil:
		s.Health = Expired
	}
	return s
}

// Invalidate makes the credentials that are held count for nothing: the next who asks gets others.
func (p *Provider) Invalidate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held.dead = true
	p.look()
}

var _ aws.CredentialsProvider = (*Provider)(nil)
var _ fmt.Stringer = (*Provider)(nil)
