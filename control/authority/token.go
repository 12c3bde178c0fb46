package authority

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// TokenLife is how long a session token holds; it is renewed after a third of that.
const TokenLife = 15 * time.Minute

// maxToken bounds a token on the wire, in bytes.
const maxToken = 4 << 10

// tokenPrefix says what a string is, for people and for tools that look for secrets in the wrong places.
const tokenPrefix = "isthmus1."

// Claims is what a token says of its bearer: who it was proven to be, and by which binding it was let in. It says
// nothing of what the binding allows: whoever is shown a token looks at the binding as it is by then.
type Claims struct {
	Method   string   `json:"m"`
	Identity string   `json:"i,omitempty"` // as people read it; empty: open
	Binding  string   `json:"b,omitempty"` // empty: an admin by certificate, or open
	Match    []byte   `json:"h,omitempty"` // hash of what the binding matched: another match, another proof
	Group    string   `json:"g,omitempty"` // empty: an operator
	Agent    string   `json:"a,omitempty"`
	Roles    []string `json:"r,omitempty"`
	Admin    bool     `json:"x,omitempty"`
	Open     bool     `json:"o,omitempty"` // admitted from loopback, for there were no bindings
	Issued   int64    `json:"t"`           // Unix milliseconds
	Expires  int64    `json:"e"`
}

var (
	// ErrToken: the token is none of this cluster's, or is damaged.
	ErrToken = errors.New("the token is not one of this control plane's")
	// ErrExpired: it was one, and its time is over.
	ErrExpired = errors.New("the token has expired")
)

// Sign makes a token of claims, whose times it sets.
func (a *Authority) Sign(c Claims) (token string, _ Claims, _ error) {
	now := a.now()
	c.Issued, c.Expires = now.UnixMilli(), now.Add(TokenLife).UnixMilli()
	raw, err := json.Marshal(c)
	if err != nil {
		return "", Claims{}, fmt.Errorf("encode a token: %w", err)
	}
	sig := ed25519.Sign(a.tokens, a.signed(raw))
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(raw) + "." + base64.RawURLEncoding.EncodeToString(sig)
	if len(token) > maxToken {
		return "", Claims{}, fmt.Errorf("the token of %q in group %q would have %d bytes: at most %d", c.Identity, c.Group, len(token), maxToken)
	}
	return token, c, nil
}

// Verify reads a token that this cluster has signed and whose time is not over.
func (a *Authority) Verify(token string) (Claims, error) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(token) > maxToken || strings.ContainsAny(token, "\r\n") { // which base64 would pass over
		return Claims{}, ErrToken
	}
	claims, signature, ok := strings.Cut(rest, ".")
	if !ok {
		return Claims{}, ErrToken
	}
	strict := base64.RawURLEncoding.Strict()
	raw, err := strict.DecodeString(claims)
	if err != nil {
		return Claims{}, ErrToken
	}
	sig, err := strict.DecodeString(signature)
	if err != nil || !ed25519.Verify(a.tokens.Public().(ed25519.PublicKey), a.signed(raw), sig) {
		return Claims{}, ErrToken
	}
	var c Claims
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields() // of a later version: what it says must not be half understood
	if err := d.Decode(&c); err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	now := a.now()
	switch {
	case now.UnixMilli() >= c.Expires:
		return Claims{}, ErrExpired
	case c.Issued > now.Add(skew).UnixMilli() || c.Expires-c.Issued > TokenLife.Milliseconds():
		return Claims{}, fmt.Errorf("%w: it is issued in the future, or for too long", ErrToken)
	}
	return c, nil
}

// signed is what is signed: a token of another cluster, or anything else that was signed by the same key, is no
// token here.
func (a *Authority) signed(claims []byte) []byte {
	return append([]byte("isthmus session token 1\x00"+a.clusterID+"\x00"), claims...)
}
