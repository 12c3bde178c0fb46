package creds_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/isthmusdata/isthmus/iam/creds"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/standin"
	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/s3store"
)

const (
	dataAccount = "111111111111"
	prodAccount = "222222222222"
	external    = "cluster/prod"
)

// clock is moved by a test. Whoever waits by it is let go when it has been moved far enough.
type clock struct {
	mu      sync.Mutex
	at      time.Time
	waiting map[chan time.Time]time.Time
	more    *sync.Cond // somebody began to wait
}

func newClock() *clock {
	c := &clock{at: time.Now().Truncate(time.Second), waiting: map[chan time.Time]time.Time{}}
	c.more = sync.NewCond(&c.mu)
	return c
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) After(d time.Duration) (<-chan time.Time, func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan time.Time, 1)
	c.waiting[ch] = c.at.Add(d)
	c.more.Broadcast()
	return ch, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, there := c.waiting[ch]
		delete(c.waiting, ch)
		return there
	}
}

func (c *clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(by)
	for ch, until := range c.waiting {
		if !c.at.Before(until) {
			ch <- c.at
			delete(c.waiting, ch)
		}
	}
}

// settle waits until somebody waits by the clock.
func (c *clock) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.waiting) == 0 {
		c.more.Wait()
	}
}

// aws is a stand-in with a bucket, a role for it, and a user of another account who may assume it.
type world struct {
	*standin.World
	t      *testing.T
	clock  *clock // of both sides
	url    string
	role   string
	source aws.CredentialsProvider
	log    bytes.Buffer
	reg    *prometheus.Registry

	mu     sync.Mutex
	events []standin.Event
}

func newWorld(t *testing.T) *world {
	t.Helper()
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	w := &world{t: t, clock: newClock(), reg: prometheus.NewRegistry()}
	w.World = standin.New(standin.Options{Now: w.clock.Now, Moved: true, Observe: func(e standin.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
	}})
	server := httptest.NewServer(w.World)
	t.Cleanup(server.Close)
	w.url = server.URL
	w.Bucket(dataAccount, "bucket")
	key, secret := w.User(prodAccount, "agents")
	w.SetPermission(w.UserARN(prodAccount, "agents"), w.document(`{"Effect":"Allow","Action":["sts:AssumeRole"],"Resource":"arn:aws:iam::111111111111:role/*"}`))
	w.source = credentials.NewStaticCredentialsProvider(key, secret, "")
	w.role = w.Role(dataAccount, "produce", w.trust(external), w.mayAll())
	return w
}

func (w *world) document(statement string) policy.Document {
	w.t.Helper()
	doc, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + statement + `]}`))
	if err != nil {
		w.t.Fatal(err)
	}
	return doc
}

func (w *world) trust(external string) policy.Document {
	return w.document(`{"Effect":"Allow","Action":["sts:AssumeRole"],"Principal":{"AWS":["arn:aws:iam::222222222222:root"]},"Condition":{
		"StringEquals":{"sts:ExternalId":["` + external + `"]},"StringLike":{"sts:RoleSessionName":["prod-*"]}}}`)
}

func (w *world) mayAll() policy.Document {
	return w.document(`{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":["arn:aws:s3:::bucket/*"]}`)
}

func (w *world) mayNothing() policy.Document {
	return w.document(`{"Effect":"Deny","Action":["s3:PutObject","s3:GetObject"],"Resource":["arn:aws:s3:::bucket/*"]}`)
}

func (w *world) provider(change ...func(*creds.Options)) *creds.Provider {
	w.t.Helper()
	p, err := creds.New(w.t.Context(), w.options(change...))
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) options(change ...func(*creds.Options)) creds.Options {
	w.t.Helper()
	metrics, err := creds.NewMetrics(w.reg)
	if err != nil {
		metrics = nil // of a second provider of a test
	}
	o := creds.Default()
	o.RoleARN, o.ExternalID, o.Group, o.Agent, o.STSEndpoint = w.role, external, "prod", "a1", w.url
	o.Source, o.Clock, o.Metrics, o.Share, o.Role = w.source, w.clock, metrics, "s", "produce"
	o.Rand = func() float64 { return 0.5 }
	o.Log = slog.New(slog.NewTextHandler(&w.log, nil))
	for _, f := range change {
		f(&o)
	}
	return o
}

// store is the bucket by a provider's credentials.
func (w *world) store(p aws.CredentialsProvider) *s3store.Store {
	w.t.Helper()
	c := s3store.Default()
	c.Bucket, c.Region, c.Endpoint, c.PathStyle, c.BucketOwner, c.Credentials = "bucket", "us-east-1", w.url, true, dataAccount, p
	s, err := s3store.New(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) put(s objstore.Putter, key string) error {
	body := [][]byte{[]byte(key)}
	return s.PutNew(w.t.Context(), key, body, objstore.Sum(body))
}

// asked counts what a service was asked since, by action.
func (w *world) asked(action string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, e := range w.events {
		if e.Action == action {
			n++
		}
	}
	return n
}

func (w *world) mustRetrieve(p *creds.Provider) aws.Credentials {
	w.t.Helper()
	c, err := p.Retrieve(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// running lets a provider run until the test ends, and waits until it waits.
func (w *world) running(p *creds.Provider) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	w.t.Cleanup(func() { cancel(); <-done })
	w.clock.settle()
}

// moveTo moves the clock minute by minute, so that whoever looks every minute does.
func (w *world) moveBy(d time.Duration) {
	for ; d > 0; d -= time.Minute {
		w.clock.settle()
		w.clock.move(min(d, time.Minute))
	}
	w.clock.settle()
}

func mustBe(t *testing.T, err, class error, words ...string) {
	t.Helper()
	if !errors.Is(err, class) {
		t.Fatalf("got %v (%s), want %v", err, creds.Class(err), class)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

// TestTrap1StaticallyStable: the SDK's cache fails a request when a renewal fails within its window, although the credentials are
// valid for minutes more. Here they hold until they truly expire, and no longer.
func TestTrap1StaticallyStable(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	first := w.mustRetrieve(p)
	s := w.store(p)
	w.Down(standin.STS, true)
	w.running(p)
	for _, d := range []time.Duration{29 * time.Minute, 5 * time.Minute, 5 * time.Minute, 10 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
		w.clock.settle()
		w.clock.move(d)
		if got := w.mustRetrieve(p); got.AccessKeyID != first.AccessKeyID {
			t.Fatal("other credentials, while STS is away")
		}
	}
	if err := w.put(s, "at-the-last-minute"); err != nil {
		t.Fatalf("59 minutes without STS: %v", err)
	}
	if state := p.State(); state.Health != creds.Stale || !state.Valid || state.Err == nil {
		t.Errorf("state %+v", state)
	}
	w.clock.settle()
	w.clock.move(50 * time.Second)
	_, err := p.Retrieve(t.Context())
	mustBe(t, err, creds.ErrExpired, "try:", w.url)
	if p.State().Health != creds.Expired {
		t.Errorf("state %+v", p.State())
	}
	err = w.put(s, "too-late")
	if objstore.Class(err) != "unavailable" {
		t.Errorf("put without credentials: %v", err)
	}
	if _, there := w.Object("bucket", "too-late"); there {
		t.Error("it was stored")
	}
	w.Down(standin.STS, false)
	w.moveBy(time.Minute)
	if got := w.mustRetrieve(p); got.AccessKeyID == first.AccessKeyID {
		t.Error("the expired credentials again")
	}
	if err := w.put(s, "healed"); err != nil {
		t.Errorf("with STS again: %v", err)
	}
	if lines := strings.Count(w.log.String(), "level=WARN"); lines != 2 { // still valid; expired
		t.Errorf("%d warnings:\n%s", lines, w.log.String())
	}
}

// TestTrap2OneHourAndAName: the SDK's sessions last 15 minutes and have a name by chance.
func TestTrap2OneHourAndAName(t *testing.T) {
	w := newWorld(t)
	got := w.mustRetrieve(w.provider())
	if life := got.Expires.Sub(w.clock.Now()); life != time.Hour {
		t.Errorf("a session of %v", life)
	}
	p := w.provider()
	if err := w.put(w.store(p), "x"); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if who := w.events[len(w.events)-1].Principal; who != "arn:aws:sts::111111111111:assumed-role/produce/prod-a1" {
		t.Errorf("the bucket knows it as %s", who)
	}
}

// TestTrap3RenewedInTheBackground: the SDK renews in the middle of a request, once an hour. Here requests never wait for STS, and a
// fleet does not come all at once.
func TestTrap3RenewedInTheBackground(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	w.running(p)
	first := w.mustRetrieve(p)
	w.moveBy(26 * time.Minute)
	if n := w.asked("sts:AssumeRole"); n != 1 {
		t.Fatalf("STS was asked %d times within 26 minutes", n)
	}
	w.moveBy(8 * time.Minute)
	if n := w.asked("sts:AssumeRole"); n != 2 {
		t.Fatalf("STS was asked %d times within 34 minutes", n)
	}
	if got := w.mustRetrieve(p); got.AccessKeyID == first.AccessKeyID || got.Expires.Sub(w.clock.Now()) < 50*time.Minute {
		t.Errorf("after half of their life: %v", got.Expires)
	}
	at := map[float64]time.Duration{}
	for _, draw := range []float64{0, 0.999} {
		q := w.provider(func(o *creds.Options) { o.Rand = func() float64 { return draw } })
		w.mustRetrieve(q)
		before := w.asked("sts:AssumeRole")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); q.Run(ctx) }()
		began := w.clock.Now()
		for w.asked("sts:AssumeRole") == before {
			w.moveBy(time.Minute)
		}
		at[draw] = w.clock.Now().Sub(began)
		cancel()
		<-done
	}
	if at[0] >= at[0.999] {
		t.Errorf("renewed after %v and %v: all at once", at[0], at[0.999])
	}
}

// TestTrap4RefusalsRenewOnce: the SDK gives up at the first ExpiredToken, InvalidToken or AccessDenied, and keeps what it has.
func TestTrap4RefusalsRenewOnce(t *testing.T) {
	t.Run("denied", func(t *testing.T) {
		w := newWorld(t)
		p := w.provider()
		s := w.store(p)
		if err := w.put(s, "a"); err != nil {
			t.Fatal(err)
		}
		w.SetPermission(w.role, w.mayNothing())
		if err := w.put(s, "b"); !errors.Is(err, objstore.ErrDenied) {
			t.Fatalf("put: %v", err)
		}
		if n := w.asked("sts:AssumeRole"); n != 1 {
			t.Errorf("credentials of this minute were renewed: %d", n)
		}
		w.clock.move(61 * time.Second)
		before := w.asked("s3:PutObject")
		for range 20 {
			if err := w.put(s, "b"); !errors.Is(err, objstore.ErrDenied) {
				t.Fatalf("put: %v", err)
			}
		}
		if n := w.asked("sts:AssumeRole"); n != 2 {
			t.Errorf("AccessDenied 20 times in a minute: STS was asked %d times, want 2", n)
		}
		if n := w.asked("s3:PutObject") - before; n != 21 {
			t.Errorf("20 puts made %d requests, want 21", n)
		}
		w.SetPermission(w.role, w.mayAll())
		if err := w.put(s, "b"); err != nil {
			t.Errorf("allowed again: %v", err)
		}
		if n := testutil.ToFloat64(counter(t, w.reg, "isthmus_iam_denied_total")); n == 0 {
			t.Error("no denial was counted")
		}
	})
	t.Run("sessions revoked", func(t *testing.T) {
		w := newWorld(t)
		p := w.provider()
		s := w.store(p)
		if err := w.put(s, "a"); err != nil {
			t.Fatal(err)
		}
		w.clock.move(2 * time.Minute)
		w.SetPermission(w.role, w.mayAll(), w.document(`{"Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{"DateLessThan":{"aws:TokenIssueTime":["`+
			w.clock.Now().UTC().Format(time.RFC3339)+`"]}}}`))
		if err := w.put(s, "b"); err != nil {
			t.Errorf("a session that is still trusted did not recover: %v", err)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		w := newWorld(t)
		p := w.provider()
		s := w.store(p)
		if err := w.put(s, "a"); err != nil {
			t.Fatal(err)
		}
		w.Role(dataAccount, "produce", w.trust(external), w.mayAll()) // deleted and made again
		if err := w.put(s, "b"); err != nil {
			t.Errorf("a role that was made again: %v", err)
		}
	})
	t.Run("expired", func(t *testing.T) {
		w := newWorld(t)
		slow := newClock() // the agent's own, which a suspended machine would have
		p := w.provider(func(o *creds.Options) { o.Clock = slow })
		s := w.store(p)
		if err := w.put(s, "a"); err != nil {
			t.Fatal(err)
		}
		w.clock.move(61 * time.Minute)
		if err := w.put(s, "b"); err != nil {
			t.Errorf("an expired session was not renewed: %v", err)
		}
		if _, err := s.GetRange(t.Context(), "b", 0, -1); err != nil {
			t.Error(err)
		}
		if n := w.asked("sts:AssumeRole"); n != 2 {
			t.Errorf("STS was asked %d times", n)
		}
	})
	t.Run("everybody at once", func(t *testing.T) {
		w := newWorld(t)
		slow := newClock()
		p := w.provider(func(o *creds.Options) { o.Clock = slow })
		s := w.store(p)
		w.mustRetrieve(p)
		w.clock.move(61 * time.Minute)
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				if err := w.put(s, fmt.Sprintf("k%d", i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := w.asked("sts:AssumeRole"); n != 2 {
			t.Errorf("16 requests with an expired session: STS was asked %d times, want 2", n)
		}
	})
}

// TestTrap5ClockSkew: credentials expire by AWS's clock, whatever this machine's says; and it is said that it is wrong.
func TestTrap5ClockSkew(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"slow": -10 * time.Minute, "fast": 10 * time.Minute, "half an hour fast": 30 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			local := newClock()
			local.at = w.clock.Now().Add(ahead)
			p := w.provider(func(o *creds.Options) { o.Clock = local })
			s := w.store(p)
			if err := w.put(s, "a"); err != nil {
				t.Fatal(err)
			}
			if skew := p.State().Skew; (skew + ahead).Abs() > 2*time.Second {
				t.Errorf("measured %v, and it is %v", skew, -ahead)
			}
			if !strings.Contains(w.log.String(), "clock") {
				t.Errorf("the log does not say so: %s", w.log.String())
			}
			first := w.mustRetrieve(p)
			w.Down(standin.STS, true)
			move := func(d time.Duration) { w.clock.move(d); local.move(d) }
			move(59 * time.Minute)
			if got := w.mustRetrieve(p); got.AccessKeyID != first.AccessKeyID {
				t.Error("other credentials")
			}
			if err := w.put(s, "b"); err != nil {
				t.Errorf("a minute before they expire: %v", err)
			}
			move(time.Minute)
			if _, err := p.Retrieve(t.Context()); err == nil {
				t.Error("expired credentials were given out")
			}
		})
	}
}

// TestTrap6BucketOwner: a bucket that belongs to another account now gets nothing.
func TestTrap6BucketOwner(t *testing.T) {
	w := newWorld(t)
	s := w.store(w.provider())
	if err := w.put(s, "a"); err != nil {
		t.Fatal(err)
	}
	w.SetOwner("bucket", "666666666666")
	w.SetBucketPolicy("bucket", w.document(`{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:PutObject","s3:GetObject"],"Resource":["arn:aws:s3:::bucket/*"]}`))
	if err := w.put(s, "b"); !errors.Is(err, objstore.ErrDenied) {
		t.Errorf("put: %v", err)
	}
	if _, there := w.Object("bucket", "b"); there {
		t.Error("the thief's bucket has our data")
	}
	if _, err := s.GetRange(t.Context(), "a", 0, -1); !errors.Is(err, objstore.ErrDenied) {
		t.Errorf("get: %v", err)
	}
}

// TestChainedDuration: out of a session, AWS gives an hour at most, and refuses what asks for more. It is not asked.
func TestChainedDuration(t *testing.T) {
	w := newWorld(t)
	first := w.mustRetrieve(w.provider())
	long := func(o *creds.Options) { o.Duration = 2 * time.Hour }
	asked := w.asked("sts:AssumeRole")
	p := w.provider(long, func(o *creds.Options) {
		o.Source = credentials.NewStaticCredentialsProvider(first.AccessKeyID, first.SecretAccessKey, first.SessionToken)
	})
	_, err := p.Retrieve(t.Context())
	mustBe(t, err, creds.ErrChainedDuration, "1h", "--session-duration", w.role)
	if n := w.asked("sts:AssumeRole"); n != asked {
		t.Errorf("STS was asked %d times more", n-asked)
	}
	_, err = w.provider(long).Retrieve(t.Context()) // a user's keys: the role's own bound
	mustBe(t, err, creds.ErrChainedDuration, "MaxSessionDuration")
	w.SetLongest(w.role, 2*time.Hour)
	if got := w.mustRetrieve(w.provider(long)); got.Expires.Sub(w.clock.Now()) != 2*time.Hour {
		t.Errorf("expires %v", got.Expires)
	}
}

func TestTrustDenied(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*creds.Options){
		"external id": func(o *creds.Options) { o.ExternalID = "cluster/other" },
		"without one": func(o *creds.Options) { o.ExternalID = "" },
		"session":     func(o *creds.Options) { o.Group = "analytics" },
		"no role":     func(o *creds.Options) { o.RoleARN = "arn:aws:iam::111111111111:role/none" },
	} {
		t.Run(name, func(t *testing.T) {
			p := w.provider(change)
			_, err := p.Retrieve(t.Context())
			mustBe(t, err, creds.ErrTrustDenied, "external id", "AWS does not tell", "isthmus iam")
			if p.State().Health != creds.Denied {
				t.Errorf("state %+v", p.State())
			}
		})
	}
}

// TestTrustWithdrawn: sessions that live stay; there are no others.
func TestTrustWithdrawn(t *testing.T) {
	w := newWorld(t)
	p := w.provider()
	w.mustRetrieve(p)
	w.SetTrust(w.role, w.trust("another"))
	w.running(p)
	w.moveBy(40 * time.Minute)
	w.mustRetrieve(p)
	if state := p.State(); state.Health != creds.Denied || !state.Valid {
		t.Errorf("state %+v", state)
	}
	w.moveBy(20 * time.Minute)
	_, err := p.Retrieve(t.Context())
	mustBe(t, err, creds.ErrTrustDenied)
	if n := strings.Count(w.log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings, want one:\n%s", n, w.log.String())
	}
}

func TestSessionPolicyNarrows(t *testing.T) {
	w := newWorld(t)
	s := w.store(w.provider(func(o *creds.Options) {
		o.Policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject"],"Resource":["arn:aws:s3:::bucket/mine/*"]}]}`
	}))
	if err := w.put(s, "mine/a"); err != nil {
		t.Error(err)
	}
	if err := w.put(s, "theirs/a"); !errors.Is(err, objstore.ErrDenied) {
		t.Errorf("outside the session's policy: %v", err)
	}
}

func TestWebIdentity(t *testing.T) {
	w := newWorld(t)
	provider := strings.TrimPrefix(w.Issuer(prodAccount), "https://")
	w.SetTrust(w.role, w.document(`{"Effect":"Allow","Action":["sts:AssumeRoleWithWebIdentity"],"Principal":{"Federated":["arn:aws:iam::111111111111:oidc-provider/`+provider+`"]},
		"Condition":{"StringEquals":{"`+provider+`:sub":["system:serviceaccount:prod:agent"],"`+provider+`:aud":["sts.amazonaws.com"]}}}`))
	file := filepath.Join(t.TempDir(), "token")
	write := func(subject string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(w.Token(prodAccount, subject, "sts.amazonaws.com", time.Hour)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	web := func(o *creds.Options) {
		o.Mode, o.TokenFile, o.ExternalID, o.Source = creds.WebIdentity, file, "", nil
	}
	write("system:serviceaccount:prod:agent")
	p := w.provider(web)
	if err := w.put(w.store(p), "a"); err != nil {
		t.Fatal(err)
	}
	w.clock.move(61 * time.Minute)
	_, err := p.Retrieve(t.Context())
	mustBe(t, err, creds.ErrSource, file) // the token has expired, too
	write("system:serviceaccount:prod:agent")
	w.clock.move(time.Minute)
	w.mustRetrieve(p)
	write("system:serviceaccount:other:agent")
	_, err = w.provider(web).Retrieve(t.Context())
	mustBe(t, err, creds.ErrTrustDenied, "subject")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, err = w.provider(web).Retrieve(t.Context())
	mustBe(t, err, creds.ErrSource, file, "AWS_WEB_IDENTITY_TOKEN_FILE")
}

// TestAmbient uses what the platform gives, and keeps it as long as it is valid.
func TestAmbient(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	var given aws.Credentials
	var fault error
	source := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		mu.Lock()
		defer mu.Unlock()
		return given, fault
	})
	give := func(c aws.Credentials, err error) {
		mu.Lock()
		defer mu.Unlock()
		given, fault = c, err
	}
	session := func() aws.Credentials { return w.mustRetrieve(w.provider()) }
	give(session(), nil)
	p := w.provider(func(o *creds.Options) {
		o.Mode, o.RoleARN, o.ExternalID, o.Source = creds.Ambient, "", "", source
	})
	s := w.store(p)
	if err := w.put(s, "a"); err != nil {
		t.Fatal(err)
	}
	give(aws.Credentials{}, errors.New("no metadata service"))
	w.clock.move(56 * time.Minute)
	if err := w.put(s, "b"); err != nil {
		t.Errorf("valid for 4 minutes more: %v", err)
	}
	w.clock.move(4 * time.Minute)
	err := w.put(s, "c")
	if objstore.Class(err) != "denied" || !strings.Contains(err.Error(), "AWS_PROFILE") || !strings.Contains(err.Error(), "no metadata service") {
		t.Errorf("expired: %v", err)
	}
	give(session(), nil)
	w.clock.move(time.Minute)
	if err := w.put(s, "d"); err != nil {
		t.Errorf("the platform has others: %v", err)
	}
	w.Role(dataAccount, "produce", w.trust(external), w.mayAll()) // ends the session
	if err := w.put(s, "e"); !errors.Is(err, objstore.ErrDenied) {
		t.Errorf("the platform gives what the bucket refused: %v", err)
	}
	give(session(), nil)
	w.clock.move(time.Minute)
	if err := w.put(s, "f"); err != nil {
		t.Errorf("the platform has others: %v", err)
	}
}

// TestOwnCredentialsExpired: STS refuses those of the agent's own account; the platform is asked for others at once.
func TestOwnCredentialsExpired(t *testing.T) {
	w := newWorld(t)
	good, err := w.source.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	p := w.provider(func(o *creds.Options) {
		o.Source = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			if calls++; calls == 1 {
				return aws.Credentials{AccessKeyID: "AKIAGONE", SecretAccessKey: "x"}, nil
			}
			return good, nil
		})
	})
	w.mustRetrieve(p)
	if calls != 2 {
		t.Errorf("the platform was asked %d times", calls)
	}
}

func TestEveryFaultIsReported(t *testing.T) {
	w := newWorld(t)
	_, err := creds.New(t.Context(), creds.Options{Mode: creds.Assume, RoleARN: "role", ExternalID: "a b", Duration: time.Minute, Policy: strings.Repeat("x", 3000), ExpirySkew: -1})
	for _, word := range []string{"role", "external id", "15m", "agent", "policy", "skew", "refresh", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not say %q", err, word)
		}
	}
	_, err = creds.New(t.Context(), w.options(func(o *creds.Options) { o.STSEndpoint = "" }))
	mustBe(t, err, creds.ErrRegion, "AWS_REGION")
	_, err = creds.New(t.Context(), w.options(func(o *creds.Options) { o.Group = strings.Repeat("g", 64) }))
	if err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("a group that fills the name: %v", err)
	}
}

// TestBacksOff: an STS that is away is asked again after 1 s to 30 s, whoever wants credentials.
func TestBacksOff(t *testing.T) {
	w := newWorld(t)
	w.SetTrust(w.role, w.trust("another"))
	p := w.provider()
	for range 50 {
		if _, err := p.Retrieve(t.Context()); err == nil {
			t.Fatal("there are credentials")
		}
	}
	if n := w.asked("sts:AssumeRole"); n != 1 {
		t.Errorf("50 requests at one moment: STS was asked %d times", n)
	}
	for range 120 {
		w.clock.move(time.Second)
		if _, err := p.Retrieve(t.Context()); err == nil {
			t.Fatal("there are credentials")
		}
	}
	if n := w.asked("sts:AssumeRole"); n < 5 || n > 12 {
		t.Errorf("STS was asked %d times within two minutes", n)
	}
}

func counter(t *testing.T, reg *prometheus.Registry, name string) prometheus.Collector {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := prometheus.NewCounter(prometheus.CounterOpts{Name: "sum"})
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum.Add(m.GetCounter().GetValue())
			}
		}
	}
	return sum
}
