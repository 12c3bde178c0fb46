package standin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	amzTime    = "20060102T150405Z"
	maxSkew    = 15 * time.Minute // between the time of a signature and now
	maxPresign = 7 * 24 * time.Hour
	unsigned   = "UNSIGNED-PAYLOAD"
)

// signed is the signature of a request, by its header or, presigned, by its query.
type signed struct {
	key, date, region, service string
	headers                    []string // lower-case, sorted
	signature                  string
	at                         time.Time
	token                      string
	payload                    string        // hash of the body as it was signed, or UNSIGNED-PAYLOAD
	expires                    time.Duration // of a presigned request; 0: by header
}

// Faults of a signature, in the words of the service that answers.
type dialect struct{ missing, malformed, unknownKey, mismatch, skewed, expiredToken, badToken fault }

var (
	s3Dialect = dialect{
		missing:      *errAccessDenied,
		malformed:    fault{status: http.StatusBadRequest, code: "AuthorizationHeaderMalformed", message: "The authorization header is malformed."},
		unknownKey:   fault{status: http.StatusForbidden, code: "InvalidAccessKeyId", message: "The AWS Access Key Id you provided does not exist in our records."},
		mismatch:     fault{status: http.StatusForbidden, code: "SignatureDoesNotMatch", message: "The request signature we calculated does not match the signature you provided. Check your key and signing method."},
		skewed:       fault{status: http.StatusForbidden, code: "RequestTimeTooSkewed", message: "The difference between the request time and the current time is too large."},
		expiredToken: fault{status: http.StatusBadRequest, code: "ExpiredToken", message: "The provided token has expired."},
		badToken:     fault{status: http.StatusBadRequest, code: "InvalidToken", message: "The provided token is malformed or otherwise invalid."},
	}
	stsDialect = dialect{
		missing:      fault{status: http.StatusForbidden, code: "MissingAuthenticationToken", message: "Request is missing Authentication Token"},
		malformed:    fault{status: http.StatusBadRequest, code: "IncompleteSignature", message: "The request signature does not conform to AWS standards."},
		unknownKey:   fault{status: http.StatusForbidden, code: "InvalidClientTokenId", message: "The security token included in the request is invalid."},
		mismatch:     fault{status: http.StatusForbidden, code: "SignatureDoesNotMatch", message: "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."},
		skewed:       fault{status: http.StatusForbidden, code: "SignatureDoesNotMatch", message: "Signature expired or not yet current"},
		expiredToken: fault{status: http.StatusForbidden, code: "ExpiredToken", message: "The security token included in the request is expired"},
		badToken:     fault{status: http.StatusForbidden, code: "InvalidClientTokenId", message: "The security token included in the request is invalid."},
	}
)

func (f fault) because(why string) *fault {
	f.message += " " + why
	return &f
}

// parseSigned reads the signature of a request, or returns nil where it has none.
func parseSigned(r *http.Request, query url.Values, d *dialect) (*signed, *fault) {
	var s *signed
	var credential, headers string
	switch authorization := r.Header.Values("Authorization"); {
	case len(authorization) == 1:
		var ok bool
		if s, credential, headers, ok = parseHeader(r, authorization[0]); !ok {
			return nil, d.malformed.because("Write " + algorithm + " Credential=…, SignedHeaders=…, Signature=….")
		}
	case len(authorization) > 1:
		return nil, d.malformed.because("It is there more than once.")
	case query.Has("X-Amz-Signature"):
		var f *fault
		if s, credential, headers, f = parsePresigned(query, d); f != nil {
			return nil, f
		}
	default:
		return nil, nil
	}
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || scope[4] != "aws4_request" || slices.Contains(scope, "") || len(credential) > 512 {
		return nil, d.malformed.because("The credential scope is none.")
	}
	s.key, s.date, s.region, s.service = scope[0], scope[1], scope[2], scope[3]
	s.headers = strings.Split(headers, ";")
	if !slices.IsSorted(s.headers) || !slices.Contains(s.headers, "host") || len(slices.Compact(slices.Clone(s.headers))) != len(s.headers) {
		return nil, d.malformed.because("SignedHeaders must be sorted and hold host.")
	}
	if s.at.IsZero() || s.at.Format("20060102") != s.date {
		return nil, d.malformed.because("X-Amz-Date is missing, or not of the day in the credential scope.")
	}
	return s, nil
}

func parseHeader(r *http.Request, authorization string) (s *signed, credential, headers string, ok bool) {
	rest, ok := strings.CutPrefix(authorization, algorithm+" ")
	if !ok {
		return nil, "", "", false
	}
	s = &signed{token: r.Header.Get("X-Amz-Security-Token"), payload: r.Header.Get("X-Amz-Content-Sha256")}
	fields := map[string]string{}
	for field := range strings.SplitSeq(rest, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(field), "=")
		if _, twice := fields[name]; !found || twice {
			return nil, "", "", false
		}
		fields[name] = value
	}
	if len(fields) != 3 || fields["Credential"] == "" || fields["SignedHeaders"] == "" || fields["Signature"] == "" {
		return nil, "", "", false
	}
	s.signature = fields["Signature"]
	if at, err := time.Parse(amzTime, r.Header.Get("X-Amz-Date")); err == nil {
		s.at = at
	}
	return s, fields["Credential"], fields["SignedHeaders"], true
}

func parsePresigned(query url.Values, d *dialect) (s *signed, credential, headers string, f *fault) {
	for name, values := range query {
		if strings.HasPrefix(name, "X-Amz-") && len(values) != 1 {
			return nil, "", "", d.malformed.because(name + " is there more than once.")
		}
	}
	seconds, err := strconv.ParseUint(query.Get("X-Amz-Expires"), 10, 32)
	expires := time.Duration(seconds) * time.Second
	if query.Get("X-Amz-Algorithm") != algorithm || err != nil || expires == 0 || expires > maxPresign {
		return nil, "", "", d.malformed.because("The query's X-Amz-Algorithm or X-Amz-Expires is none.")
	}
	s = &signed{token: query.Get("X-Amz-Security-Token"), payload: unsigned, signature: query.Get("X-Amz-Signature"), expires: expires}
	if at, err := time.Parse(amzTime, query.Get("X-Amz-Date")); err == nil {
		s.at = at
	}
	return s, query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), nil
}

// current says whether a signature may be used now.
func (s *signed) current(now time.Time) bool {
	if s.expires > 0 {
		return now.After(s.at.Add(-maxSkew)) && now.Before(s.at.Add(s.expires))
	}
	return now.Sub(s.at).Abs() <= maxSkew
}

// coversAmz says whether every header that AWS gives a meaning is signed; else it could be added on the way.
func (s *signed) coversAmz(h http.Header) (missing string, ok bool) {
	for name := range h {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && lower != "x-amz-content-sha256" && !slices.Contains(s.headers, lower) {
			return lower, false
		}
	}
	return "", true
}

// verify compares the signature with the one that secret makes.
func (s *signed) verify(r *http.Request, query url.Values, payload, secret string) bool {
	scope := strings.Join([]string{s.date, s.region, s.service, "aws4_request"}, "/")
	canonical := sha256.Sum256([]byte(s.canonical(r, query, payload)))
	text := strings.Join([]string{algorithm, s.at.Format(amzTime), scope, hex.EncodeToString(canonical[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, "aws4_request", text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	got, err := hex.DecodeString(s.signature)
	return err == nil && hmac.Equal(got, key)
}

// canonical writes the request as both sides hash it. Path and query are decoded and encoded anew, so that
// there is one spelling of each.
func (s *signed) canonical(r *http.Request, query url.Values, payload string) string {
	var b strings.Builder
	path := uriEncode(r.URL.Path, true)
	if path == "" {
		path = "/"
	}
	b.WriteString(r.Method + "\n" + path + "\n")
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if s.expires > 0 && name == "X-Amz-Signature" {
			continue
		}
		for _, v := range slices.Sorted(slices.Values(query[name])) {
			pairs = append(pairs, uriEncode(name, false)+"="+uriEncode(v, false))
		}
	}
	b.WriteString(strings.Join(pairs, "&") + "\n")
	for _, name := range s.headers {
		b.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(s.headers, ";") + "\n" + payload)
	return b.String()
}

var spaces = regexp.MustCompile(` +`)

func headerValue(r *http.Request, name string) string {
	if name == "host" {
		return r.Host
	}
	values := r.Header.Values(name)
	if name == "content-length" && len(values) == 0 {
		return strconv.FormatInt(max(r.ContentLength, 0), 10) // the server may have taken it out
	}
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = spaces.ReplaceAllString(strings.TrimSpace(v), " ")
	}
	return strings.Join(trimmed, ",")
}

const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

func uriEncode(s string, keepSlash bool) string {
	const upperHex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case strings.IndexByte(unreserved, c) >= 0, keepSlash && c == '/':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}
