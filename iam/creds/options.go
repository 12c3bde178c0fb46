package creds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Mode is where credentials come from.
type Mode string

// The modes.
const (
	Assume      Mode = "assume"
	WebIdentity Mode = "web-identity"
	Ambient     Mode = "ambient"
)

// Modes are all modes.
func Modes() []Mode { return []Mode{Assume, WebIdentity, Ambient} }

const (
	minDuration     = 15 * time.Minute
	maxDuration     = 12 * time.Hour
	chainedDuration = time.Hour // the most of a session that is begun from a session
	maxPolicy       = 2048      // bytes of a session policy
)

// Options say which credentials are wanted.
type Options struct {
	Mode        Mode
	RoleARN     string // of assume and web-identity
	ExternalID  string // empty: none
	Group       string // of the agent
	Agent       string
	Duration    time.Duration // of a session, 15m to 1h; up to 12h by web-identity or with a user's keys
	Policy      string        // session policy, JSON; empty: none
	TokenFile   string        // of web-identity
	Region      string        // whose STS is asked; empty: from the environment
	Near        string        // whose STS is asked where the environment names no region either
	STSEndpoint string        // empty: that of the region

	ExpirySkew      time.Duration // credentials count as expired so long before they do
	RefreshFraction float64       // of their life after which they are renewed, 0.1 to 0.9
	Timeout         time.Duration // of one renewal, its retries included

	Source aws.CredentialsProvider // of the agent's own account; nil: the SDK's chain
	Client *http.Client            // for STS; nil: the SDK's
	Clock  Clock                   // nil: the machine's
	Rand   func() float64          // from 0 below 1; nil: the machine's

	Share, Role string // for metrics and the log
	Metrics     *Metrics
	Log         *slog.Logger // nil: none
}

// Default lacks the role, the group and the agent.
func Default() Options {
	return Options{Mode: Assume, Duration: time.Hour, ExpirySkew: 10 * time.Second, RefreshFraction: 0.5, Timeout: 20 * time.Second}
}

// Clock is the time that an agent goes by.
type Clock interface {
	Now() time.Time
	// After gives the channel that is sent to once d has passed, and what makes it not wait any more.
	After(d time.Duration) (<-chan time.Time, func() bool)
}

// WallClock goes by a wall clock that may leap; it waits by the machine's.
func WallClock(now func() time.Time) Clock { return machineClock{now} }

type machineClock struct{ now func() time.Time }

func (c machineClock) Now() time.Time { return c.now() }

func (machineClock) After(d time.Duration) (<-chan time.Time, func() bool) {
	t := time.NewTimer(d)
	return t.C, t.Stop
}

var (
	roleARN     = regexp.MustCompile(`^arn:(aws|aws-cn|aws-us-gov):iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}$`)
	anyRoleARN  = regexp.MustCompile(`^arn:[a-z-]*:iam::[^:]*:role/[\w+=,.@/-]{1,576}$`) // of servers other than AWS
	externalID  = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`)
	notInName   = regexp.MustCompile(`[^\w+=,.@-]`)
	maxName     = 64
	maxExternal = 1224
)

// Validate reports every fault at once.
func (o Options) Validate() error {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf(format, a...)) }
	switch o.Mode {
	case Assume, WebIdentity:
		switch {
		case roleARN.MatchString(o.RoleARN), o.STSEndpoint != "" && anyRoleARN.MatchString(o.RoleARN):
		default:
			fault("role %q is none: write arn:aws:iam::ACCOUNT:role/NAME", o.RoleARN)
		}
		if o.Duration < minDuration || o.Duration > maxDuration {
			fault("a session of %v: AWS gives 15m to 12h", o.Duration)
		}
		if _, err := o.sessionName(); err != nil {
			faults = append(faults, err)
		}
	case Ambient:
		if o.RoleARN != "" {
			fault("role %s is to be assumed and the agent's own credentials are to be used as they are: choose one", o.RoleARN)
		}
	default:
		fault("mode %q: write assume, web-identity or ambient", o.Mode)
	}
	if o.Mode == WebIdentity && o.TokenFile == "" {
		fault("web identity without a token: set AWS_WEB_IDENTITY_TOKEN_FILE")
	}
	if o.ExternalID != "" && (!externalID.MatchString(o.ExternalID) || len(o.ExternalID) > maxExternal) {
		fault("external id %q: write 2 to %d letters, digits and +=,.@:/-", o.ExternalID, maxExternal)
	}
	if len(o.Policy) > maxPolicy {
		fault("session policy of %d bytes, more than %d", len(o.Policy), maxPolicy)
	}
	if o.ExpirySkew < 0 || o.ExpirySkew > minDuration/2 {
		fault("expiry skew %v is not from 0 to %v", o.ExpirySkew, minDuration/2)
	}
	if o.RefreshFraction < 0.1 || o.RefreshFraction > 0.9 {
		fault("refresh after %v of the life of credentials: write 0.1 to 0.9", o.RefreshFraction)
	}
	if o.Timeout <= 0 {
		fault("timeout %v is not above 0", o.Timeout)
	}
	return errors.Join(faults...)
}

// sessionName is GROUP-AGENT. The group is never cut, for trust may be held to it.
func (o Options) sessionName() (string, error) {
	group := notInName.ReplaceAllString(o.Group, "-")
	agent := notInName.ReplaceAllString(o.Agent, "-")
	if group == "" || agent == "" {
		return "", errors.New("a session is named after group and agent, and one of them is missing")
	}
	name := group + "-" + agent
	if len(name) > maxName {
		name = name[:maxName]
	}
	if len(name) <= len(group)+1 {
		return "", fmt.Errorf("group %q: %d characters leave no room for the agent in the name of a session", o.Group, len(group))
	}
	return name, nil
}

// fill puts in what is left out.
func (o Options) fill() Options {
	if o.Clock == nil {
		o.Clock = WallClock(time.Now)
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.Metrics == nil {
		o.Metrics = newMetrics()
	}
	return o
}

// endpoint is where STS is, for people.
func (p *Provider) endpoint() string {
	if p.o.STSEndpoint != "" {
		return p.o.STSEndpoint
	}
	suffix := ".amazonaws.com"
	if strings.HasPrefix(p.region, "cn-") {
		suffix += ".cn"
	}
	return "sts." + p.region + suffix
}

// bounded gives one renewal its time. It outlives whoever asked first: others wait for it too.
func (p *Provider) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), p.o.Timeout)
}
