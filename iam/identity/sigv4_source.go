package identity

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// SigV4Source signs a GetCallerIdentity call with an agent's own credentials, and sends it nowhere.
type SigV4Source struct {
	credentials aws.CredentialsProvider
	region      string
	now         func() time.Time
}

// NewSigV4Source takes the credentials of the agent's own account, not those of a bucket's role, which do not say
// who the agent is. The region must be one whose STS the control plane asks.
func NewSigV4Source(credentials aws.CredentialsProvider, region string, now func() time.Time) *SigV4Source {
	return &SigV4Source{credentials: credentials, region: region, now: now}
}

func (s *SigV4Source) Method() string { return MethodSigV4 }

func (s *SigV4Source) Proof(ctx context.Context, c Challenge) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if !validRegion(s.region) {
		return nil, failf(ErrMalformed, "set AWS_REGION", "a proof of identity needs a region of AWS, and %.40q is none", s.region)
	}
	if s.credentials == nil {
		return nil, failf(ErrUnavailable, "", "a proof of identity needs credentials of AWS, and there are none")
	}
	keys, err := s.credentials.Retrieve(ctx)
	if err != nil {
		return nil, causef(ErrUnavailable, err, "the agent needs a role of its own account: a task role, pod identity, an instance profile, or AWS_* variables",
			"get credentials to prove the agent's identity")
	}
	at := s.now().UTC().Truncate(time.Second)
	proof := signed{accessKey: keys.AccessKeyID, date: at.Format(dateLayout), region: s.region, token: keys.SessionToken}
	r := call(ctx, &url.URL{Scheme: "https", Host: stsHost(s.region)}, c, proof)
	if err := v4.NewSigner().SignHTTP(ctx, keys, r, callBodyHash, "sts", s.region, at); err != nil {
		return nil, causef(ErrUnavailable, err, "", "sign the proof of identity")
	}
	signature, ok := strings.CutPrefix(r.Header.Get("Authorization"), proof.authorization())
	if !ok {
		return nil, failf(ErrMalformed, "", "the signature covers other headers than the server will send")
	}
	proof.signature = signature
	if _, _, err := parseSigned(proof.encode()); err != nil {
		return nil, err // what the server would say, before it is asked
	}
	return proof.encode(), nil
}
