package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The one call of STS that is ever made. Agent and server build it each for itself, so nothing of it but the fields
// of signed can be chosen by who logs in.
const (
	callBody        = "Action=GetCallerIdentity&Version=2011-06-15"
	callContentType = "application/x-www-form-urlencoded; charset=utf-8"
	headerServer    = "X-Isthmus-Server-Id"
	headerNonce     = "X-Isthmus-Nonce"
	headerClaim     = "X-Isthmus-Claim"
	headerDate      = "X-Amz-Date"
	headerToken     = "X-Amz-Security-Token"
	dateLayout      = "20060102T150405Z"

	// What is signed, with credentials of a session and with those of a user.
	signedSession = "content-length;content-type;host;x-amz-date;x-amz-security-token;x-isthmus-claim;x-isthmus-nonce;x-isthmus-server-id"
	signedUser    = "content-length;content-type;host;x-amz-date;x-isthmus-claim;x-isthmus-nonce;x-isthmus-server-id"
)

var callBodyHash = func() string { h := sha256.Sum256([]byte(callBody)); return hex.EncodeToString(h[:]) }()

// signed is a proof by aws-sigv4. On the wire it is six lines with a line feed between them: the version, then these fields in order.
type signed struct {
	accessKey string // 16 to 128 of [A-Za-z0-9_]
	date      string // YYYYMMDDTHHMMSSZ
	region    string
	signature string // 64 of [0-9a-f]
	token     string // of the session; empty: a user's own key
}

const (
	signedVersion = "isthmus-sigv4-1"
	// MaxSessionToken bounds what is passed on to STS as a session token.
	MaxSessionToken = 8 << 10
	maxSigned       = MaxSessionToken + 512
)

func (s signed) encode() []byte {
	return []byte(strings.Join([]string{signedVersion, s.accessKey, s.date, s.region, s.signature, s.token}, "\n"))
}

// parseSigned takes what encode writes and nothing else: no field can hold what would end a line, a header or a
// field of Authorization.
func parseSigned(proof []byte) (signed, time.Time, error) {
	malformed := func(format string, args ...any) (signed, time.Time, error) {
		return signed{}, time.Time{}, failf(ErrMalformed, "", format, args...)
	}
	if len(proof) > maxSigned {
		return malformed("a proof of %d bytes; it has %d at most", len(proof), maxSigned)
	}
	lines := strings.Split(string(proof), "\n")
	if len(lines) != 6 || lines[0] != signedVersion {
		return malformed("the proof is not six lines that begin with %s", signedVersion)
	}
	s := signed{accessKey: lines[1], date: lines[2], region: lines[3], signature: lines[4], token: lines[5]}
	at, err := time.Parse(dateLayout, s.date)
	switch {
	case !only(s.accessKey, 16, 128, letters+digits+"_"):
		return malformed("the access key of the proof is not 16 to 128 letters, digits and underscores")
	case err != nil || at.Format(dateLayout) != s.date:
		return malformed("the date of the proof is not YYYYMMDDTHHMMSSZ")
	case !validRegion(s.region):
		return malformed("the region of the proof is not one like eu-west-1")
	case !only(s.signature, 64, 64, "abcdef"+digits):
		return malformed("the signature of the proof is not 64 hexadecimal digits")
	case !only(s.token, 0, MaxSessionToken, letters+digits+"+/=_-.:"):
		return malformed("the session token of the proof is not at most %d characters of base64", MaxSessionToken)
	}
	return s, at, nil
}

func validRegion(s string) bool {
	return only(s, 5, 32, "abcdefghijklmnopqrstuvwxyz"+digits+"-") && strings.Contains(s, "-") && s[0] != '-' && s[len(s)-1] != '-'
}

func (s signed) headers() string {
	if s.token == "" {
		return signedUser
	}
	return signedSession
}

// authorization is the header up to the signature.
func (s signed) authorization() string {
	return fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s/%s/sts/aws4_request, SignedHeaders=%s, Signature=", s.accessKey, s.date[:8], s.region, s.headers())
}

// stsHost is what both sides sign as the host, also when the server reaches STS at another address.
func stsHost(region string) string {
	return "sts." + region + partitionSuffix[partitionOf(region)]
}

// call builds the call without its signature. It goes to base, which is https://stsHost(region)/ unless the
// server is told otherwise.
func call(ctx context.Context, base *url.URL, c Challenge, s signed) *http.Request {
	r := (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Scheme: base.Scheme, Host: base.Host, Path: "/"}, Host: stsHost(s.region),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Content-Type": {callContentType},
			headerDate:     {s.date},
			headerServer:   {c.Server},
			headerNonce:    {c.nonce()},
			headerClaim:    {c.claim()},
		},
		Body:          io.NopCloser(bytes.NewReader([]byte(callBody))),
		ContentLength: int64(len(callBody)),
	}).WithContext(ctx)
	if s.token != "" {
		r.Header.Set(headerToken, s.token)
	}
	return r
}
