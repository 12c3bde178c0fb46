package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/standin"
	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
)

const (
	labData  = "111111111111"
	labAgent = "222222222222"
)

// twoAccounts is a bucket with a role for each group's agents, in an account of its own, and the agents' account.
type twoAccounts struct {
	*lands
	aws                    *standin.World
	url                    string
	produceRole, fetchRole string

	ahead  atomic.Int64 // nanoseconds by which the clock of AWS, and of agents that go by it, is moved
	mu     sync.Mutex
	events []standin.Event
}

func (w *twoAccounts) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func statements(t *testing.T, list ...string) policy.Document {
	t.Helper()
	doc, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + strings.Join(list, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// permission is what a role of the share may do, as isthmus writes it.
func permission(t *testing.T, role iam.Role) policy.Document {
	t.Helper()
	doc, err := policy.Permission(role, policy.Layout{Bucket: "lab", Cluster: "isthmus", Share: "walled", Group: "prod", Region: "us-east-1", Account: labData})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// newTwoAccounts makes the accounts alone.
func newTwoAccounts(t *testing.T) *twoAccounts {
	t.Helper()
	w := &twoAccounts{}
	w.aws = standin.New(standin.Options{Now: w.now, Moved: true, Observe: func(e standin.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
	}})
	server := httptest.NewServer(w.aws)
	t.Cleanup(server.Close)
	w.url = server.URL
	w.aws.Bucket(labData, "lab")
	key, secret := w.aws.User(labAgent, "agents")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "", "AWS_REGION": "us-east-1", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"),
		"AWS_ENDPOINT_URL": "", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	w.aws.SetPermission(w.aws.UserARN(labAgent, "agents"), statements(t, `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::111111111111:role/isthmus-*"}`))
	w.produceRole = w.aws.Role(labData, "isthmus-lab-walled-prod-produce", w.trust(t, "prod"), permission(t, iam.Produce))
	w.fetchRole = w.aws.Role(labData, "isthmus-lab-walled-analytics-fetch", w.trust(t, "analytics"), permission(t, iam.Fetch))
	w.aws.PutObject("lab", canaryKey("isthmus"), []byte(canaryBody("isthmus")))
	return w
}

// startTwoAccounts starts a control plane, and a share in another account's bucket.
func startTwoAccounts(t *testing.T) *twoAccounts {
	t.Helper()
	w := newTwoAccounts(t)
	dir := t.TempDir()
	w.lands = startControlAlone(t, dir, bucketURL(dir, ""))
	for group, role := range map[string]string{"prod": "produce", "analytics": "fetch"} {
		w.operate("group", "create", group, "--roles", role)
	}
	w.operate("share", "create", "walled", "--bucket", "s3://lab?region=us-east-1&path-style=true&endpoint="+w.url, "--account", labData,
		"--role", "prod/produce="+w.produceRole, "--role", "analytics/fetch="+w.fetchRole)
	for group, role := range map[string]string{"prod": "produce", "analytics": "fetch"} {
		w.operate("grant", "create", "--group", group, "--access", role, "--share", "walled")
	}
	w.operate("topic", "create", "orders", "--share", "walled")
	sts := func(c *agentConfig) { c.Credentials.STSEndpoint = w.url }
	w.addAgent("prod-1", "prod", rolesOf("produce"), sts, func(c *agentConfig) {
		c.Produce.UploadDeadline, c.Produce.AttemptTimeout, c.Produce.RetryMax = 2*time.Second, 2*time.Second, 500*time.Millisecond
	})
	w.addAgent("analytics-1", "analytics", rolesOf("fetch"), sts)
	return w
}

func (w *twoAccounts) trust(t *testing.T, group string) policy.Document {
	return statements(t, `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::222222222222:root"},
		"Condition":{"StringEquals":{"sts:ExternalId":"isthmus/`+group+`"},"StringLike":{"sts:RoleSessionName":"`+group+`-*"}}}`)
}

// send has records acknowledged.
func (w *twoAccounts) send(values ...string) {
	w.t.Helper()
	w.lands.produce(w.client("prod"), texts("orders", values...)...)
}

// by lists who has asked the bucket for an action and was let in.
func (w *twoAccounts) by(action string) map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	who := map[string]int{}
	for _, e := range w.events {
		if e.Action == action && e.Code == "" {
			who[e.Principal]++
		}
	}
	return who
}

// TestEachRoleHasItsOwnCredentials sends and reads across the accounts, each side by its own role and by nothing else.
func TestEachRoleHasItsOwnCredentials(t *testing.T) {
	w := startTwoAccounts(t)
	w.send("a", "b", "c")
	if got := w.read("orders", 3); len(got) != 3 {
		t.Errorf("read %d records", len(got))
	}
	prod, analytics := w.running("prod-1").name, w.running("analytics-1").name
	for action, want := range map[string]string{
		"s3:PutObject": "arn:aws:sts::111111111111:assumed-role/isthmus-lab-walled-prod-produce/prod-" + prod,
		"s3:GetObject": "arn:aws:sts::111111111111:assumed-role/isthmus-lab-walled-analytics-fetch/analytics-" + analytics,
	} {
		if who := w.by(action); len(who) != 1 || who[want] == 0 {
			t.Errorf("%s by %v, want %s alone", action, who, want)
		}
	}
}

// TestNarrowSessions: a role that may do more than it should does not let the agent do so.
func TestNarrowSessions(t *testing.T) {
	w := startTwoAccounts(t)
	w.aws.SetPermission(w.produceRole, statements(t, `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`))
	w.addAgent("prod-2", "prod", rolesOf("produce"), func(c *agentConfig) {
		c.Credentials.STSEndpoint, c.Credentials.Narrow = w.url, true
	})
	for name, narrow := range map[string]bool{"prod-1": false, "prod-2": true} {
		o, err := w.running(name).stores.store(w.ctx, "walled", "produce")
		w.must(err)
		_, err = o.GetRange(w.ctx, canaryKey("isthmus"), 0, -1)
		if denied := errors.Is(err, objstore.ErrDenied); denied != narrow {
			t.Errorf("%s reads with the role of a producer that may: %v", name, err)
		}
	}
	w.must(w.kill("prod-1"))
	w.send("narrowed")
}

// TestSTSAwayPastExpiry lets STS be away for 50 minutes, which nobody notices, and past the end of the session: producers are told to try
// again, and what they sent is stored once STS is back.
func TestSTSAwayPastExpiry(t *testing.T) {
	w := startTwoAccounts(t)
	for _, name := range []string{"prod-1", "analytics-1"} {
		s := w.running(name).stores
		s.mu.Lock()
		s.wall = w.now
		s.mu.Unlock()
	}
	w.send("1")
	if got := w.read("orders", 1); len(got) != 1 {
		t.Errorf("read %d records", len(got))
	}
	w.aws.Down(standin.STS, true)
	w.ahead.Add(int64(50 * time.Minute))
	w.send("2")
	if got := w.read("orders", 2); len(got) != 2 {
		t.Errorf("read %d records", len(got))
	}
	w.ahead.Add(int64(11 * time.Minute))
	c := w.client("prod", kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	if err := c.ProduceSync(w.ctx, texts("orders", "lost")...).FirstErr(); err == nil || !kerr.IsRetriable(err) {
		t.Errorf("with a session that has expired: %v", err)
	}
	acked := make(chan error, 1)
	w.client("prod").Produce(w.ctx, texts("orders", "3")[0], func(_ *kgo.Record, err error) { acked <- err })
	w.aws.Down(standin.STS, false)
	if err := <-acked; err != nil {
		t.Errorf("with STS again: %v", err)
	}
	got := w.read("orders", 3)
	if len(got) != 3 || string(got[2].Value) != "3" {
		t.Errorf("read %d records", len(got))
	}
}

// TestAccessLostToTheWriter takes the produce role's permission away and gives it back: nothing is acknowledged meanwhile, clients are
// told to try again, the agent says what is wrong, and it heals by itself.
func TestAccessLostToTheWriter(t *testing.T) {
	w := startTwoAccounts(t)
	w.send("before")
	ready := func() string { return fmt.Sprint(w.running("prod-1").readiness()) }
	w.aws.SetPermission(w.produceRole)
	c := w.client("prod", kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	if err := c.ProduceSync(w.ctx, texts("orders", "lost")...).FirstErr(); err == nil || !kerr.IsRetriable(err) {
		t.Errorf("a record that cannot be stored: %v", err)
	}
	if got := ready(); !strings.Contains(got, "storage_access_revoked") || !strings.Contains(got, "produce on share walled") {
		t.Errorf("not ready for %s", got)
	}
	again := w.client("prod")
	acked := make(chan error, 1)
	again.Produce(w.ctx, texts("orders", "patient")[0], func(_ *kgo.Record, err error) { acked <- err })
	w.aws.SetPermission(w.produceRole, permission(t, iam.Produce))
	if err := <-acked; err != nil {
		t.Errorf("a client that tries again: %v", err)
	}
	eventually(t, "the agent is ready again", func() bool { return ready() == "<nil>" })
	for _, r := range w.read("orders", 2) {
		if v := string(r.Value); v != "before" && v != "patient" {
			t.Errorf("read %q", v)
		}
	}
}

// TestAccessLostToTheReader: readers are told to try again and lose nothing.
func TestAccessLostToTheReader(t *testing.T) {
	w := startTwoAccounts(t)
	w.send("1", "2")
	ready := func() string { return fmt.Sprint(w.running("analytics-1").readiness()) }
	w.aws.SetPermission(w.fetchRole)
	c := w.client("analytics", kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	read := make(chan []*kgo.Record, 1)
	go func() { read <- w.poll(c, 2) }()
	eventually(t, "the agent says that it may not read", func() bool { return strings.Contains(ready(), "storage_access_revoked: fetch on share walled") })
	w.aws.SetPermission(w.fetchRole, permission(t, iam.Fetch))
	if got := <-read; len(got) != 2 || string(got[0].Value) != "1" || string(got[1].Value) != "2" {
		t.Errorf("read %d records", len(got))
	}
	eventually(t, "the agent is ready again", func() bool { return ready() == "<nil>" })
}

// TestAnotherRoleReachesTheBucket: agents that run take up a changed share.
func TestAnotherRoleReachesTheBucket(t *testing.T) {
	w := startTwoAccounts(t)
	w.send("1")
	second := w.aws.Role(labData, "isthmus-second", w.trust(t, "prod"), permission(t, iam.Produce))
	w.operate("share", "alter", "walled", "--role", "prod/produce="+second)
	w.aws.Delete(w.produceRole)
	w.send("2")
	if got := w.read("orders", 2); len(got) != 2 {
		t.Errorf("read %d records", len(got))
	}
	found := false
	for who := range w.by("s3:PutObject") {
		found = found || strings.Contains(who, "assumed-role/isthmus-second/prod-")
	}
	if !found {
		t.Errorf("stored by %v", w.by("s3:PutObject"))
	}
}

// TestControlNodeUsesItsRoleForMetaAlone starts a control node whose role may do nothing but keep the cluster's own objects.
func TestControlNodeUsesItsRoleForMetaAlone(t *testing.T) {
	w := newTwoAccounts(t)
	role := w.aws.Role(labData, "isthmus-lab-control", w.trust(t, "control"), permission(t, iam.Control))
	startControlAlone(t, t.TempDir(), "s3://lab?region=us-east-1&path-style=true&endpoint="+w.url, func(c *controlConfig) {
		c.Meta, c.Admission.STSEndpoint = metaRole{ARN: role, ExternalID: "isthmus/control"}, w.url
	})
	if keys := w.aws.Keys("lab"); len(keys) < 2 {
		t.Errorf("the control node has stored %q", keys)
	}
	for action, who := range map[string]map[string]int{"s3:PutObject": w.by("s3:PutObject"), "s3:GetObject": w.by("s3:GetObject")} {
		for principal := range who {
			if !strings.Contains(principal, "assumed-role/isthmus-lab-control/control-") {
				t.Errorf("%s by %s", action, principal)
			}
		}
	}
}

// deniedStore refuses what it is told to.
type deniedStore struct {
	objstore.Store
	mu     sync.Mutex
	denied map[string]bool // by key
	all    bool
	gets   map[string]int
}

func (s *deniedStore) GetRange(ctx context.Context, key string, position, length int64) ([]byte, error) {
	s.mu.Lock()
	s.gets[key]++
	denied := s.all || s.denied[key]
	s.mu.Unlock()
	if denied {
		return nil, &objstore.Error{Op: "get", Name: key, Class: objstore.ErrDenied}
	}
	b, err := s.Store.GetRange(ctx, key, position, length)
	if errors.Is(err, objstore.ErrNotFound) { // as S3 answers who may not list
		err = &objstore.Error{Op: "get", Name: key, Class: objstore.ErrDenied}
	}
	return b, err
}

func (s *deniedStore) deny(all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = all
}

// TestCanaryTellsGoneFromRevoked: an object that is refused while the canary is not is gone (I7).
func TestCanaryTellsGoneFromRevoked(t *testing.T) {
	s := &deniedStore{Store: memstore.Open(t.Name()), denied: map[string]bool{}, gets: map[string]int{}}
	put := func(key, body string) {
		t.Helper()
		b := [][]byte{[]byte(body)}
		if err := s.PutNew(t.Context(), key, b, objstore.Sum(b)); err != nil {
			t.Fatal(err)
		}
	}
	put("c/data/s/g/1", "x")
	told := make(chan error, 10)
	active := false
	a := newAccess(s, accessDeps{
		cluster: "c", agent: "a", role: "fetch", life: t.Context(), spawn: func(f func()) { go f() }, active: func() bool { return active },
		tell: func(why error) { told <- why }, log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	get := func(key string) error {
		_, err := a.GetRange(t.Context(), key, 0, -1)
		a.mu.Lock()
		a.asked = time.Time{} // the next asks the canary again
		a.mu.Unlock()
		return err
	}
	long := time.Now().Add(time.Hour)
	// Without a canary an idle agent is not called shut out.
	active = true
	a.lookIdle(long)
	put(canaryKey("c"), canaryBody("c"))
	a.mu.Lock()
	a.asked = time.Time{}
	a.mu.Unlock()
	if err := get("c/data/s/g/1"); err != nil {
		t.Fatal(err)
	}
	if err := get("c/data/s/g/gone"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("refused, and the canary is not: %v", err)
	}
	select {
	case why := <-told:
		t.Errorf("told of a loss: %v", why)
	default:
	}
	s.deny(true)
	for range 3 {
		if err := get("c/data/s/g/1"); !errors.Is(err, objstore.ErrDenied) {
			t.Errorf("refused with the canary: %v", err)
		}
	}
	if why := <-told; !errors.Is(why, objstore.ErrDenied) {
		t.Errorf("told %v", why)
	}
	s.deny(false)
	if why := <-told; why != nil { // by the probe
		t.Errorf("told %v", why)
	}
	// Nobody fetches: nothing is asked.
	active = false
	before := s.gets[canaryKey("c")]
	a.lookIdle(long)
	if s.gets[canaryKey("c")] != before {
		t.Error("the canary was asked although no client fetches")
	}
	active = true
	s.deny(true)
	a.mu.Lock()
	a.asked = time.Time{}
	a.mu.Unlock()
	a.lookIdle(long)
	if why := <-told; !errors.Is(why, objstore.ErrDenied) {
		t.Errorf("idle, and told %v", why)
	}
	a.forget()
	if why := <-told; why != nil {
		t.Errorf("no longer granted, and told %v", why)
	}
	if len(told) != 0 {
		t.Errorf("told %d times more", len(told))
	}
}
