package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/go-jose/go-jose/v4"
)

// testKeys are made once: making them is what takes time.
var testKeys = sync.OnceValue(func() (k struct {
	p384, p384b *ecdsa.PrivateKey
	p256        *ecdsa.PrivateKey
	rsa, small  *rsa.PrivateKey
}) {
	k.p384, k.p384b, k.p256 = made(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), made(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), made(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	k.rsa, k.small = made(rsa.GenerateKey(rand.Reader, 2048)), made(rsa.GenerateKey(rand.Reader, 1024))
	return k
})

func made[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// testIssuer publishes keys, as STS does for an account that has turned federation on.
type testIssuer struct {
	*httptest.Server
	mu            sync.Mutex
	set           []jose.JSONWebKey
	configuration map[string]string
	answer        http.HandlerFunc // instead of the keys
	asked         int
}

func newIssuer(t *testing.T) *testIssuer {
	i := &testIssuer{}
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	i.configuration = map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
	i.publish("one", &testKeys().p384.PublicKey, "ES384")
	i.publish("rsa", &testKeys().rsa.PublicKey, "RS256")
	return i
}

func (i *testIssuer) publish(kid string, key crypto.PublicKey, algorithm string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.set = append(i.set, jose.JSONWebKey{KeyID: kid, Key: key, Algorithm: algorithm, Use: "sig"})
}

func (i *testIssuer) answers(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = h
}

func (i *testIssuer) questions() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

func (i *testIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case r.URL.Path == "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(i.configuration)
	case r.URL.Path == "/keys" && i.answer != nil:
		i.asked++
		i.answer(w, r)
	case r.URL.Path == "/keys":
		i.asked++
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: i.set})
	default:
		http.NotFound(w, r)
	}
}

// compact is a token with any header and payload, signed by sign: what no library would make.
func compact(header map[string]any, payload []byte, sign func(signed []byte) []byte) []byte {
	e := base64.RawURLEncoding.EncodeToString
	text := e(made(json.Marshal(header))) + "." + e(payload)
	return []byte(text + "." + e(sign([]byte(text))))
}

func es384(key *ecdsa.PrivateKey) func([]byte) []byte {
	return func(text []byte) []byte {
		h := crypto.SHA384.New()
		h.Write(text)
		r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
		if err != nil {
			panic(err)
		}
		return append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...)
	}
}

func rs256(key *rsa.PrivateKey) func([]byte) []byte {
	return func(text []byte) []byte {
		h := crypto.SHA256.New()
		h.Write(text)
		return made(rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, h.Sum(nil)))
	}
}

// claimsFor are those of a token that STS makes for the prod role.
func (i *testIssuer) claimsFor(c Challenge, id string) map[string]any {
	return map[string]any{
		"iss": i.URL, "sub": "arn:aws:iam::222222222222:role/agents/prod", "aud": Audience(c.Server),
		"iat": start.Unix(), "exp": start.Unix() + 120, "jti": id,
		claimsOfSTS: map[string]any{
			"aws_account": "222222222222", "source_region": "eu-west-1", "org_id": "o-abc1234567",
			"principal_tags": map[string]string{"team": "data"},
			"request_tags":   map[string]string{tagNonce: c.nonce(), tagClaim: c.claim()},
		},
	}
}

var es384Header = map[string]any{"alg": "ES384", "typ": "JWT", "kid": "one"}

func with(m map[string]any, name string, value any) map[string]any {
	m = maps.Clone(m)
	if m[name] = value; value == nil {
		delete(m, name)
	}
	return m
}

// token signs claims with the issuer's first key.
func (i *testIssuer) token(claims map[string]any) []byte {
	return compact(es384Header, made(json.Marshal(claims)), es384(testKeys().p384))
}

// tokenSTS is STS's part in making tokens: it signs what it is asked to, and knows who asks.
type tokenSTS struct {
	issuer  *testIssuer
	denied  string // code of the answer
	tagging bool   // whether the role may tag
	asked   []*sts.GetWebIdentityTokenInput
}

func (s *tokenSTS) GetWebIdentityToken(_ context.Context, in *sts.GetWebIdentityTokenInput, _ ...func(*sts.Options)) (*sts.GetWebIdentityTokenOutput, error) {
	copied := *in
	s.asked = append(s.asked, &copied)
	if s.denied != "" {
		return nil, &smithy.GenericAPIError{Code: s.denied, Message: "no"}
	}
	if len(in.Tags) > 0 && !s.tagging {
		return nil, &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized to perform: sts:TagGetWebIdentityToken"}
	}
	tags := map[string]string{}
	for _, t := range in.Tags {
		tags[*t.Key] = *t.Value
	}
	claims := s.issuer.claimsFor(challenge(1), "made")
	claims["aud"], claims["exp"] = in.Audience[0], start.Unix()+int64(*in.DurationSeconds)
	claims[claimsOfSTS] = map[string]any{"aws_account": "222222222222", "request_tags": tags}
	return &sts.GetWebIdentityTokenOutput{WebIdentityToken: aws.String(string(s.issuer.token(claims)))}, nil
}
