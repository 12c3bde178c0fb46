package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// testSTS answers GetCallerIdentity to whoever signs with a secret that it knows, by a verification of Signature Version 4 of its own:
// what the two sides of the package have in common cannot be wrong in both without its noticing.
type testSTS struct {
	*httptest.Server
	t   *testing.T
	now func() time.Time

	mu      sync.Mutex
	keys    map[string]testKey
	calls   int
	actions []string
	last    *http.Request
	answer  http.HandlerFunc // instead of its own, when set
}

type testKey struct{ secret, token, arn, userID, account string }

var start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func newSTS(t *testing.T, now func() time.Time) *testSTS {
	s := &testSTS{t: t, now: now, keys: map[string]testKey{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// session gives the credentials of a session of a role.
func (s *testSTS) session(account, role, id, session string) aws.Credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("ASIA%016d", len(s.keys)+1)
	k := testKey{secret: "secret of " + key, token: "FwoGZXIvYXdzE+/" + key + "==", account: account,
		arn: "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + session, userID: id + ":" + session}
	s.keys[key] = k
	return aws.Credentials{AccessKeyID: key, SecretAccessKey: k.secret, SessionToken: k.token}
}

func (s *testSTS) user(account, name, id string) aws.Credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("AKIA%016d", len(s.keys)+1)
	s.keys[key] = testKey{secret: "secret of " + key, account: account, arn: "arn:aws:iam::" + account + ":user/" + name, userID: id}
	return aws.Credentials{AccessKeyID: key, SecretAccessKey: "secret of " + key}
}

func (s *testSTS) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *testSTS) answers(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = h
}

func (s *testSTS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	s.calls++
	s.last = r
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	k, code, message := s.verify(r, body)
	if code != "" {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `<ErrorResponse xmlns=%q><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>r</RequestId></ErrorResponse>`, stsNamespace, code, message)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	s.actions = append(s.actions, form.Get("Action"))
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprint(w, reply(k.arn, k.userID, k.account))
}

func reply(arn, userID, account string) string {
	return fmt.Sprintf(`<GetCallerIdentityResponse xmlns=%q>
  <GetCallerIdentityResult>
    <Arn>%s</Arn>
    <UserId>%s</UserId>
    <Account>%s</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>
`, stsNamespace, arn, userID, account)
}

func (s *testSTS) verify(r *http.Request, body []byte) (k testKey, code, message string) {
	fields := map[string]string{}
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	if !ok || len(scope) != 5 || scope[3] != "sts" || scope[4] != "aws4_request" {
		return k, "IncompleteSignature", "not AWS4-HMAC-SHA256"
	}
	s.mu.Lock()
	k, known := s.keys[scope[0]]
	s.mu.Unlock()
	if !known || r.Header.Get(headerToken) != k.token {
		return k, "InvalidClientTokenId", "The security token included in the request is invalid."
	}
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", date)
	if err != nil || date[:8] != scope[1] {
		return k, "IncompleteSignature", "date"
	}
	if d := s.now().Sub(at); d > 15*time.Minute {
		return k, "SignatureDoesNotMatch", "Signature expired: " + date
	} else if d < -15*time.Minute {
		return k, "SignatureDoesNotMatch", "Signature not yet current: " + date
	}
	signed := strings.Split(fields["SignedHeaders"], ";")
	if !slices.IsSorted(signed) || !slices.Contains(signed, "host") || !slices.Contains(signed, "x-amz-date") {
		return k, "IncompleteSignature", "headers"
	}
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
	for _, name := range signed {
		values := r.Header.Values(name)
		switch name {
		case "host":
			values = []string{r.Host}
		case "content-length":
			values = []string{fmt.Sprint(r.ContentLength)}
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, strings.Join(values, ","))
	}
	fmt.Fprintf(&canonical, "\n%s\n%s", fields["SignedHeaders"], hexSum(body))
	mac := func(key []byte, s string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	key := []byte("AWS4" + k.secret)
	for _, part := range scope[1:] {
		key = mac(key, part)
	}
	want := mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+strings.Join(scope[1:], "/")+"\n"+hexSum([]byte(canonical.String())))
	if got, err := hex.DecodeString(fields["Signature"]); err != nil || !hmac.Equal(got, want) {
		return k, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."
	}
	return k, "", ""
}

func hexSum(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// fixed are credentials that do not change.
type fixed aws.Credentials

func (f fixed) Retrieve(context.Context) (aws.Credentials, error) { return aws.Credentials(f), nil }

func challenge(nonce byte) Challenge {
	return Challenge{Server: "prod-cluster-01", Nonce: slices.Repeat([]byte{nonce}, 32),
		Claim: Claim{Group: "prod-east", Agent: "agent-1", Roles: []string{"produce"}}}
}

var testPeer = Peer{Address: "192.0.2.7:4711"}
