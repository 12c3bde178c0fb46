package standin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/iam/policy/eval"
)

// Where the keys are served, under whatever address the World has.
const (
	jwksPath          = "/.well-known/jwks.json"
	configurationPath = "/.well-known/openid-configuration"
)

const (
	keyID      = "standin-1"
	tokenLeast = 60 // seconds
	tokenMost  = 3600
)

// issuer signs tokens, for every account under a URL of its own, with one key.
type issuer struct{ key *ecdsa.PrivateKey }

// signingKey is made when it is first used; the lock is held.
func (w *World) signingKey() *ecdsa.PrivateKey {
	if w.issuer.key == nil {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			panic(err) // a curve that exists, and random bytes that never fail
		}
		w.issuer.key = key
	}
	return w.issuer.key
}

// Issuer is the URL that tokens of an account name as theirs. It leads nowhere: its keys are JWKS, which the World serves
// under /.well-known/jwks.json.
func (w *World) Issuer(account string) string {
	sum := sha256.Sum256([]byte("issuer of " + account))
	h := hex.EncodeToString(sum[:16])
	return "https://" + strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:32]}, "-") + ".tokens.sts.global.api.aws"
}

// JWKS are the public keys of all issuers, as JSON.
func (w *World) JWKS() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	public := w.signingKey().PublicKey
	point, err := public.Bytes() // 4, x, y
	if err != nil {
		panic(err) // a key that was made here
	}
	half := len(point) / 2
	coordinate := base64.RawURLEncoding.EncodeToString
	return jsonOf(map[string]any{"keys": []map[string]string{{
		"kty": "EC", "crv": "P-384", "alg": "ES384", "use": "sig", "kid": keyID, "x": coordinate(point[1 : 1+half]), "y": coordinate(point[1+half:]),
	}}})
}

// wellKnown is the document under a path, or nil.
func (w *World) wellKnown(path string) []byte {
	switch path {
	case jwksPath:
		return w.JWKS()
	case configurationPath:
		return jsonOf(map[string]any{"id_token_signing_alg_values_supported": []string{"ES384"}, "subject_types_supported": []string{"public"}})
	}
	return nil
}

// tokenClaims are the claims of a token.
type tokenClaims struct {
	Issuer   string     `json:"iss"`
	Subject  string     `json:"sub"`
	Audience string     `json:"aud"`
	Issued   int64      `json:"iat"`
	Expires  int64      `json:"exp"`
	ID       string     `json:"jti"`
	STS      *stsClaims `json:"https://sts.amazonaws.com/,omitempty"`
}

type stsClaims struct {
	Account     string            `json:"aws_account"`
	OrgID       string            `json:"org_id,omitempty"`
	RequestTags map[string]string `json:"request_tags,omitempty"`
}

// Token makes a token that a platform would give a workload, such as a cluster of Kubernetes its pods; its issuer is that
// of account.
func (w *World) Token(account, subject, audience string, life time.Duration) string {
	now := w.opts.Now()
	return w.sign(tokenClaims{
		Issuer: w.Issuer(account), Subject: subject, Audience: audience, Issued: now.Unix(), Expires: now.Add(life).Unix(), ID: random(18),
	})
}

func (w *World) sign(c tokenClaims) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode(jsonOf(map[string]string{"alg": "ES384", "typ": "JWT", "kid": keyID})) + "." + encode(jsonOf(c))
	sum := sha512.Sum384([]byte(text))
	w.mu.Lock()
	key := w.signingKey()
	w.mu.Unlock()
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err) // random bytes never fail
	}
	signature := make([]byte, 96)
	r.FillBytes(signature[:48])
	s.FillBytes(signature[48:])
	return text + "." + encode(signature)
}

// verifyToken reads a token of one of the issuers here.
func (a *ask) verifyToken(token string) (c tokenClaims, f *fault) {
	invalid := faultf(http.StatusBadRequest, "InvalidIdentityToken", "The web identity token that was passed could not be validated.")
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > 20_000 {
		return c, invalid
	}
	var header struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
	}
	if !decodeJSON(parts[0], &header) || header.Alg != "ES384" || header.Kid != keyID || !decodeJSON(parts[1], &c) {
		return c, invalid
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 96 {
		return c, invalid
	}
	sum := sha512.Sum384([]byte(parts[0] + "." + parts[1]))
	a.mu.Lock()
	public := a.signingKey().PublicKey
	a.mu.Unlock()
	if !ecdsa.Verify(&public, sum[:], new(big.Int).SetBytes(signature[:48]), new(big.Int).SetBytes(signature[48:])) {
		return c, invalid
	}
	now := a.opts.Now()
	switch {
	case c.STS != nil: // as with AWS: its own tokens do not lead back into it
		return c, invalid
	case now.Unix() >= c.Expires:
		return c, faultf(http.StatusBadRequest, "ExpiredTokenException", "Token expired: current date/time must be before the expiration date/time")
	case now.Add(5*time.Minute).Unix() < c.Issued:
		return c, invalid
	}
	return c, nil
}

func decodeJSON(part string, v any) bool {
	b, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(b, v) == nil
}

type webIdentityToken struct {
	XMLName   xml.Name                                      `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetWebIdentityTokenResponse"`
	Result    struct{ Expiration, WebIdentityToken string } `xml:"GetWebIdentityTokenResult"`
	RequestID string                                        `xml:"ResponseMetadata>RequestId"`
}

// getWebIdentityToken makes a token that tells others outside of AWS who the caller is.
func (a *ask) getWebIdentityToken() (any, *fault) {
	if f := a.known("Audience.member.*", "SigningAlgorithm", "DurationSeconds", "Tags.member.*"); f != nil {
		return nil, f
	}
	audience := a.form.Get("Audience.member.1")
	if audience == "" || len(audience) > 1000 || a.form.Has("Audience.member.2") {
		return nil, validation("The stand-in makes tokens for exactly one audience")
	}
	if a.form.Get("SigningAlgorithm") != "ES384" {
		return nil, validation("The stand-in signs with ES384")
	}
	seconds := 300
	if text := a.form.Get("DurationSeconds"); text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil || seconds < tokenLeast || seconds > tokenMost {
			return nil, validation("1 validation error detected: Value '%s' at 'durationSeconds' failed to satisfy constraint: between %d and %d", text, tokenLeast, tokenMost)
		}
	}
	s := &wanted{keys: a.keys(a.r, a.who)}
	if f := a.sessionTags(s); f != nil {
		return nil, f
	}
	s.keys["sts:IdentityTokenAudience"] = []string{audience}
	s.keys["sts:DurationSeconds"] = []string{strconv.Itoa(seconds)}
	s.keys["sts:SigningAlgorithm"] = []string{"ES384"}
	actions := []string{"sts:GetWebIdentityToken"}
	if len(s.tags) > 0 {
		actions = append(actions, "sts:TagGetWebIdentityToken")
	}
	for _, action := range actions {
		if f := a.decide(a.event, a.who, nil, a.who.account, eval.Request{Action: action, Resource: "*", Context: s.keys}); f != nil {
			return nil, f
		}
	}
	now := a.opts.Now()
	expires := now.Add(time.Duration(seconds) * time.Second)
	answer := webIdentityToken{RequestID: requestID()}
	answer.Result.Expiration = expires.UTC().Format(time.RFC3339)
	answer.Result.WebIdentityToken = a.sign(tokenClaims{
		Issuer: a.Issuer(a.who.account), Subject: a.who.who.arn, Audience: audience, Issued: now.Unix(), Expires: expires.Unix(), ID: random(18),
		STS: &stsClaims{Account: a.who.account, OrgID: a.opts.Org, RequestTags: s.tags},
	})
	return answer, nil
}
