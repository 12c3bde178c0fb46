package identity

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
)

const (
	audiencePrefix = "isthmus:" // before the cluster's id
	tagNonce       = "isthmus-nonce"
	tagClaim       = "isthmus-claim"
	tokenSeconds   = 120 // of the 300 that are taken at most: it is used at once
)

// Audience is whom a token for a cluster is made out to; policies name it.
func Audience(clusterID string) string { return audiencePrefix + clusterID }

// WebIdentity is the one call of STS that makes tokens. *sts.Client of a regional endpoint has it.
type WebIdentity interface {
	GetWebIdentityToken(ctx context.Context, in *sts.GetWebIdentityTokenInput, o ...func(*sts.Options)) (*sts.GetWebIdentityTokenOutput, error)
}

// OIDCSource has STS make a token for one cluster.
type OIDCSource struct{ sts WebIdentity }

// NewOIDCSource takes a client with the credentials of the agent's own account.
func NewOIDCSource(client WebIdentity) *OIDCSource { return &OIDCSource{sts: client} }

func (s *OIDCSource) Method() string { return MethodOIDC }

// Proof asks for a token that carries nonce and claim as tags. A role that may make tokens but not tag them gets one without, which
// a control plane takes or refuses as it was told.
func (s *OIDCSource) Proof(ctx context.Context, c Challenge) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	in := &sts.GetWebIdentityTokenInput{
		Audience: []string{Audience(c.Server)}, SigningAlgorithm: aws.String("ES384"), DurationSeconds: aws.Int32(tokenSeconds),
		Tags: []types.Tag{
			{Key: aws.String(tagNonce), Value: aws.String(c.nonce())},
			{Key: aws.String(tagClaim), Value: aws.String(c.claim())},
		},
	}
	out, err := s.sts.GetWebIdentityToken(ctx, in)
	if errorCode(err) == "AccessDenied" {
		in.Tags = nil
		out, err = s.sts.GetWebIdentityToken(ctx, in)
	}
	if err != nil {
		return nil, sourceError(err, in.Audience[0])
	}
	token := aws.ToString(out.WebIdentityToken)
	if token == "" || len(token) > maxToken {
		return nil, failf(ErrUnavailable, "", "STS gave a token of %d bytes; it has 1 to %d", len(token), maxToken)
	}
	return []byte(token), nil
}

func sourceError(err error, audience string) error {
	try := "the agent must reach STS of its region by HTTPS, with credentials of its own account"
	class := ErrUnavailable
	switch code := errorCode(err); code {
	case "AccessDenied":
		class = ErrRefused
		try = fmt.Sprintf("allow sts:GetWebIdentityToken for the audience %s, ES384 and 300 s to the agent's role, and sts:TagGetWebIdentityToken", audience)
	case "OutboundWebIdentityFederationDisabledException", "OutboundWebIdentityFederationDisabled":
		class = ErrRefused
		try = "the agent's account must turn outbound web identity federation on, or log in by aws-sigv4"
	}
	return causef(class, err, try, "get a token of STS")
}

func errorCode(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}
