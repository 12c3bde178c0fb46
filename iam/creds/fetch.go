package creds

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go/middleware"
)

const maxToken = 20_000 // bytes of a web identity token

// source is the agent's own credentials.
type source struct{ inner aws.CredentialsProvider }

func (s *source) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := s.inner.Retrieve(ctx)
	if err != nil {
		return c, sourced{err}
	}
	return c, nil
}

// renew lets the SDK's chain be asked again, and not its cache.
func (s *source) renew() {
	if cache, ok := s.inner.(*aws.CredentialsCache); ok {
		cache.Invalidate()
	}
}

// fetch gets new credentials, once.
func (p *Provider) fetch(ctx context.Context) (aws.Credentials, error) {
	switch p.o.Mode {
	case Assume:
		return p.assume(ctx)
	case WebIdentity:
		return p.webIdentity(ctx)
	}
	p.source.renew() // the platform may have newer ones than the SDK remembers
	return p.source.Retrieve(ctx)
}

// assume begins a session of the role. Own credentials that STS refuses are asked for anew, once.
func (p *Provider) assume(ctx context.Context) (aws.Credentials, error) {
	own, err := p.source.Retrieve(ctx)
	if err != nil {
		return own, err
	}
	if own.SessionToken != "" && p.o.Duration > chainedDuration {
		return aws.Credentials{}, &Error{
			Class: ErrChainedDuration, Role: p.o.RoleARN,
			Cause: fmt.Errorf("%v is asked for, and the agent's own credentials are a session already: the next one out of it lasts 1h at most, whatever the role allows", p.o.Duration),
			Try:   "--session-duration 1h; it costs nothing, for sessions are renewed from half of their life",
		}
	}
	in := &sts.AssumeRoleInput{
		RoleArn: aws.String(p.o.RoleARN), RoleSessionName: aws.String(p.session), DurationSeconds: p.seconds(),
		ExternalId: optional(p.o.ExternalID), Policy: optional(p.o.Policy),
	}
	out, err := p.sts.AssumeRole(ctx, in)
	if refused(err) {
		p.heard(nil, err)
		p.source.renew()
		out, err = p.sts.AssumeRole(ctx, in)
	}
	if err != nil {
		p.heard(nil, err)
		return aws.Credentials{}, err
	}
	p.heard(&out.ResultMetadata, nil)
	return sessionOf(out.Credentials, "AssumeRole")
}

// webIdentity begins a session by the token in the file, which the platform renews.
func (p *Provider) webIdentity(ctx context.Context) (aws.Credentials, error) {
	token, err := readToken(p.o.TokenFile)
	if err != nil {
		return aws.Credentials{}, &Error{Class: ErrSource, Role: p.o.RoleARN, Cause: err, Try: "look at AWS_WEB_IDENTITY_TOKEN_FILE and at the pod's service account"}
	}
	out, err := p.sts.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(p.o.RoleARN), RoleSessionName: aws.String(p.session), DurationSeconds: p.seconds(),
		WebIdentityToken: aws.String(token), Policy: optional(p.o.Policy),
	})
	if err != nil {
		p.heard(nil, err)
		return aws.Credentials{}, err
	}
	p.heard(&out.ResultMetadata, nil)
	return sessionOf(out.Credentials, "AssumeRoleWithWebIdentity")
}

func readToken(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("read the web identity token: %w", err)
	}
	if info.Size() > maxToken {
		return "", fmt.Errorf("web identity token %s has %d bytes, more than %d", file, info.Size(), maxToken)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the web identity token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", fmt.Errorf("web identity token %s is empty", file)
	}
	return token, nil
}

func (p *Provider) seconds() *int32 { return aws.Int32(int32(p.o.Duration / time.Second)) }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}

// sessionOf reads what STS gave.
func sessionOf(c *types.Credentials, from string) (aws.Credentials, error) {
	if c == nil || c.Expiration == nil || slices.Contains([]string{aws.ToString(c.AccessKeyId), aws.ToString(c.SecretAccessKey), aws.ToString(c.SessionToken)}, "") {
		return aws.Credentials{}, fmt.Errorf("%s answered without credentials", from)
	}
	return aws.Credentials{
		AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken,
		Source: from, CanExpire: true, Expires: *c.Expiration,
	}, nil
}

// heard measures the clock by an answer, or by the answer inside an error.
func (p *Provider) heard(answer *middleware.Metadata, err error) {
	if answer != nil {
		if at, ok := awsmiddleware.GetServerTime(*answer); ok {
			p.measure(at)
		}
		return
	}
	if at, parse := http.ParseTime(answeredAt(err)); parse == nil {
		p.measure(at)
	}
}
