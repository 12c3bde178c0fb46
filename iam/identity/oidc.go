package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	maxToken     = 16 << 10
	maxTokenLife = 300 * time.Second
	claimsOfSTS  = "https://sts.amazonaws.com/" // what AWS says beside the standard claims is nested under it
)

// algorithms that tokens are signed with. None of them takes a public key for a secret.
var algorithms = []jose.SignatureAlgorithm{jose.ES384, jose.RS256}

// Issuer is one whose tokens are taken.
type Issuer struct {
	URL     string // exactly as tokens name it
	JWKS    string // URL of its keys; empty: as its configuration, under URL, says
	Account string // that its tokens are of; empty: any
}

// OIDCOptions are what a control plane is told about issuers.
type OIDCOptions struct {
	Issuers []Issuer
	// RequireBound refuses tokens without nonce and claim. Then a role needs sts:TagGetWebIdentityToken.
	RequireBound bool
	Insecure     bool // URLs may be http beyond loopback: whoever is on the way can be anybody then
	Limits       CallLimits
	Now          func() time.Time
	Transport    http.RoundTripper // nil: one of its own
}

// OIDC verifies proofs by aws-oidc.
type OIDC struct {
	issuers map[string]*issuer
	bound   bool
	limits  *callLimiter
	used    *seen
	now     func() time.Time
}

type issuer struct {
	Issuer
	keys *keys
}

// NewOIDC says what is wrong with o, all at once. It asks no issuer yet.
func NewOIDC(o OIDCOptions) (*OIDC, error) {
	v := &OIDC{issuers: map[string]*issuer{}, bound: o.RequireBound, limits: newCallLimiter(o.Limits), used: newSeen(seenTokens), now: o.Now}
	if v.now == nil {
		v.now = time.Now
	}
	var faults []error
	if len(o.Issuers) == 0 {
		faults = append(faults, errors.New("no issuer whose tokens are taken: --oidc-issuer"))
	}
	client := outsideClient(o.Transport)
	for _, i := range o.Issuers {
		if _, err := outsideURL(i.URL, o.Insecure); err != nil {
			faults = append(faults, fmt.Errorf("the issuer: %w", err))
		}
		if i.JWKS != "" {
			if _, err := outsideURL(i.JWKS, o.Insecure); err != nil {
				faults = append(faults, fmt.Errorf("the keys of the issuer %s: %w", i.URL, err))
			}
		}
		if i.Account != "" && !only(i.Account, 12, 12, digits) {
			faults = append(faults, fmt.Errorf("the account %.20q of the issuer %s is not 12 digits", i.Account, i.URL))
		}
		if v.issuers[i.URL] != nil {
			faults = append(faults, fmt.Errorf("the issuer %s is named twice", i.URL))
		}
		v.issuers[i.URL] = &issuer{Issuer: i, keys: &keys{client: client, issuer: i.URL, jwks: i.JWKS, insecure: o.Insecure}}
	}
	return v, errors.Join(faults...)
}

func (v *OIDC) Method() string { return MethodOIDC }

// claims are those that are looked at.
type claims struct {
	Issuer    string           `json:"iss"`
	Subject   string           `json:"sub"`
	Audience  jwt.Audience     `json:"aud"`
	Expires   *jwt.NumericDate `json:"exp"`
	NotBefore *jwt.NumericDate `json:"nbf"`
	Issued    *jwt.NumericDate `json:"iat"`
	ID        string           `json:"jti"`
	STS       *stsClaims       `json:"https://sts.amazonaws.com/"`
}

type stsClaims struct {
	Account     string            `json:"aws_account"`
	RequestTags map[string]string `json:"request_tags"`
}

// Authenticate verifies a token by the keys of the configured issuer that it names.
func (v *OIDC) Authenticate(ctx context.Context, c Challenge, proof []byte, peer Peer) (Proven, error) {
	if err := c.check(); err != nil {
		return Proven{}, err
	}
	token, err := parseToken(proof)
	if err != nil {
		return Proven{}, err
	}
	now := v.now()
	i := v.issuers[token.issuer]
	if i == nil {
		return Proven{}, failf(ErrRefused, "add it by --oidc-issuer if its account may log in", "the issuer %.200q is not one of this control plane's", token.issuer)
	}
	if err := v.limits.allow(now, peer.Address, ""); err != nil {
		return Proven{}, err
	}
	key, err := i.keys.find(ctx, now, token.kid, token.algorithm)
	if err != nil {
		return Proven{}, err
	}
	var payload json.RawMessage
	err = token.jwt.Claims(key, &payload)
	if err != nil {
		return Proven{}, causef(ErrRefused, err, "", "the token is not signed by the key %.60q of %s", token.kid, i.URL)
	}
	said, err := parseClaims(payload)
	if err != nil {
		return Proven{}, causef(ErrRefused, err, "", "the claims of the token of %s", i.URL)
	}
	return v.accept(now, c, i, said)
}

// parseClaims takes names in their own letters, and each once.
func parseClaims(payload []byte) (said claims, err error) {
	err = json.Unmarshal(payload, &said)
	return said, err
}

// accept decides on the claims of a token whose signature holds.
func (v *OIDC) accept(now time.Time, c Challenge, i *issuer, said claims) (Proven, error) {
	refuse := func(try, format string, args ...any) (Proven, error) {
		return Proven{}, failf(ErrRefused, try, "the token "+format, args...)
	}
	audience := Audience(c.Server)
	switch {
	case said.Issuer != i.URL:
		return refuse("", "is of another issuer than it said")
	case len(said.Audience) != 1 || said.Audience[0] != audience:
		return refuse("ask for that audience and no other", "is for %.200q, and not for %s alone", []string(said.Audience), audience)
	case said.Expires == nil || said.Issued == nil:
		return refuse("", "does not say when it was issued and expires")
	case said.ID == "", len(said.ID) > 256:
		return refuse("", "has no id, or one of more than 256 bytes, so that it could be used twice")
	case said.Subject == "" || len(said.Subject) > 2048:
		return refuse("", "names nobody")
	}
	issued, expires := said.Issued.Time(), said.Expires.Time()
	switch {
	case expires.Sub(issued) > maxTokenLife || !expires.After(issued):
		return refuse("ask for one of 300 s at most", "lives from %s to %s, for more than %s or for none", stamp(issued), stamp(expires), maxTokenLife)
	case issued.Sub(now) > maxSkew:
		return Proven{}, failf(ErrClock, "set the control plane's clock by NTP", "the token was issued at %s and here it is %s", stamp(issued), stamp(now))
	case said.NotBefore != nil && said.NotBefore.Time().Sub(now) > maxSkew:
		return refuse("", "is not valid before %s", stamp(said.NotBefore.Time()))
	case !expires.After(now):
		return refuse("log in with a new one; if it is new, set the control plane's clock by NTP", "expired at %s, and it is %s", stamp(expires), stamp(now))
	}
	p := Proven{Method: MethodOIDC, Issuer: i.URL, Subject: said.Subject, Expires: expires}
	if err := said.ofAWS(i, &p); err != nil {
		return Proven{}, err
	}
	var err error
	if p.Bound, err = said.boundTo(c); err != nil {
		return Proven{}, err
	}
	if v.bound && !p.Bound {
		return refuse("allow sts:TagGetWebIdentityToken to the agent's role", "is not bound to this login, which this control plane wants")
	}
	if err := v.used.add(now, i.URL+" "+said.ID, expires.Add(maxSkew)); err != nil {
		return Proven{}, err
	}
	return p, nil
}

// ofAWS holds the account that STS names against the subject's and the configured one.
func (said claims) ofAWS(i *issuer, p *Proven) error {
	if said.STS != nil {
		p.Account = said.STS.Account
	}
	if i.Account != "" && p.Account != i.Account {
		return failf(ErrRefused, "", "the token is of the account %.20q, and its issuer of %s", p.Account, i.Account)
	}
	if said.STS == nil {
		return nil
	}
	a, err := parseARN(said.Subject)
	if err != nil || a.service != "iam" || a.account != said.STS.Account {
		return failf(ErrRefused, "", "the token's subject %.200q is not one of its account %.20q", said.Subject, said.STS.Account)
	}
	return nil
}

// boundTo says whether a token carries the nonce and claim of c; carrying others, or one of the two, is refused.
func (said claims) boundTo(c Challenge) (bool, error) {
	var nonce, claim string
	if said.STS != nil {
		nonce, claim = said.STS.RequestTags[tagNonce], said.STS.RequestTags[tagClaim]
	}
	switch {
	case nonce == "" && claim == "":
		return false, nil
	case nonce != c.nonce():
		return false, failf(ErrRefused, "log in with a new proof", "the token is bound to another nonce")
	case claim != c.claim():
		return false, failf(ErrRefused, "", "the token is bound to another group, agent, roles or certificate than are asked for")
	}
	return true, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// token is a token of which nothing is believed yet.
type token struct {
	jwt         *jwt.JSONWebToken
	issuer, kid string
	algorithm   jose.SignatureAlgorithm
}

// parseToken reads what is needed to choose a key. Keys, and places of keys, that a token names are never looked at.
func parseToken(proof []byte) (token, error) {
	if len(proof) > maxToken {
		return token{}, failf(ErrMalformed, "", "a token of %d bytes; it has %d at most", len(proof), maxToken)
	}
	parsed, err := jwt.ParseSigned(string(proof), algorithms)
	if err != nil {
		return token{}, causef(ErrMalformed, err, "ask for ES384", "the proof is not a token signed with ES384 or RS256")
	}
	if len(parsed.Headers) != 1 {
		return token{}, failf(ErrMalformed, "", "the token has %d signatures; it has one", len(parsed.Headers))
	}
	h := parsed.Headers[0]
	if !printable(h.KeyID, 256) {
		return token{}, failf(ErrMalformed, "", "the token does not name its key, or not in 256 printable characters")
	}
	var unsure struct {
		Issuer string `json:"iss"`
	}
	if err := parsed.UnsafeClaimsWithoutVerification(&unsure); err != nil {
		return token{}, causef(ErrMalformed, err, "", "the token's claims are not JSON")
	}
	return token{jwt: parsed, issuer: unsure.Issuer, kid: h.KeyID, algorithm: jose.SignatureAlgorithm(h.Algorithm)}, nil
}

func printable(s string, most int) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= most
}
