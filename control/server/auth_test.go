package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/isthmusdata/isthmus/control/authority"
	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/internal/certs"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// trusting takes a proof for the ARN that it is, unless STS is away.
type trusting struct{ away atomic.Bool }

func (*trusting) Method() string { return identity.MethodSigV4 }

func (a *trusting) Authenticate(_ context.Context, _ identity.Challenge, proof []byte, _ identity.Peer) (identity.Proven, error) {
	if a.away.Load() {
		return identity.Proven{}, identity.ErrUnavailable
	}
	return identity.Proven{Method: identity.MethodSigV4, ARN: string(proof)}, nil
}

// role proves itself by its name.
type role string

func (role) Method() string { return identity.MethodSigV4 }

func (r role) Proof(context.Context, identity.Challenge) ([]byte, error) {
	return []byte("arn:aws:iam::222222222222:role/" + string(r)), nil
}

// word proves itself by being known.
type word string

func (word) Method() string { return methodToken }

func (w word) Proof(context.Context, identity.Challenge) ([]byte, error) { return []byte(w), nil }

// caller is a client that logs in, and what it was given.
type caller struct {
	*client.Client
	certs *certs.Holder
	epoch atomic.Uint64
}

// as makes a client that proves itself by these ways, over TLS.
func (b *bed) as(group, name string, roles []string, sources ...identity.Source) *caller {
	b.t.Helper()
	c := &caller{certs: certs.NewHolder(certs.Agent, time.Now)}
	config := client.Default()
	config.Addrs, config.BackoffMin, config.BackoffMax, config.Patience = []string{"node:1"}, time.Millisecond, 10*time.Millisecond, 10*time.Second
	config.DeniedPause = time.Nanosecond
	var err error
	if config.TLS, err = client.TLS(nil, b.node.Pin()); err != nil {
		b.t.Fatal(err)
	}
	config.Auth = &client.Auth{
		Group: group, Agent: name, Roles: roles, Sources: sources, Certificate: c.certs.Current,
		Certified: func(got client.Certified) {
			c.epoch.Store(got.Epoch)
			if err := c.certs.Set(got.Certificate, got.Authority); err != nil {
				b.t.Error(err)
			}
		},
	}
	c.Client, err = client.Dial(config, quiet(), prometheus.NewRegistry(), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return b.listener.Load().DialContext(ctx)
	}))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

// asks makes a call that needs to be logged in, and nothing else.
func (c *caller) asks(t *testing.T) error {
	_, err := c.Topics(t.Context(), topic.Query{Names: []string{"events"}})
	return err
}

// change changes the walls past all checks of callers.
func (b *bed) change(c *controlpb.WallChange) {
	b.t.Helper()
	results, err := b.node.raft.Propose(b.t.Context(), &controlpb.Command{Op: &controlpb.Command_ChangeWalls{
		ChangeWalls: &controlpb.ChangeWallsCommand{Change: c, GossipKey: make([]byte, gossipKeyBytes)},
	}})
	if err != nil || results[0].Code != 0 {
		b.t.Fatalf("%v, %+v", err, results)
	}
}

func (b *bed) bind(name, group, arn string, roles ...string) {
	b.t.Helper()
	b.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutBinding{PutBinding: &controlpb.Binding{
		Name: name, Group: group, Roles: roles, Admin: group == "",
		Match: &controlpb.Match{Method: identity.MethodSigV4, Arn: "arn:aws:iam::222222222222:role/" + arn},
	}}})
}

func (b *bed) unbind(name string) {
	b.t.Helper()
	b.change(&controlpb.WallChange{Change: &controlpb.WallChange_RemoveBinding{RemoveBinding: name}})
}

// boundBed is a cluster with an operator's binding and those of two groups.
func boundBed(t *testing.T) (*bed, *trusting) {
	b, sts := newBed(t), &trusting{}
	b.deps.Authenticators = []identity.Authenticator{sts}
	b.start()
	b.bind("ops", "", "ops")
	b.bind("prod", "prod", "prod", "produce")
	b.bind("analytics", "analytics", "analytics", "fetch")
	return b, sts
}

// TestTokenIsHeldToItsBinding: it dies with the binding, or with whom the binding means, and comes back with it.
func TestTokenIsHeldToItsBinding(t *testing.T) {
	b, _ := boundBed(t)
	a := b.as("analytics", "a1", []string{"fetch"}, role("analytics"))
	if err := a.asks(t); err != nil {
		t.Fatal(err)
	}
	for what, harm := range map[string]func(){
		"gone":         func() { b.unbind("analytics") },
		"another role": func() { b.bind("analytics", "analytics", "other", "fetch") },
	} {
		harm()
		if err := a.asks(t); !errors.Is(err, client.ErrDenied) {
			t.Errorf("%s: %v", what, err)
		}
		b.bind("analytics", "analytics", "analytics", "fetch")
		if err := a.asks(t); err != nil {
			t.Errorf("%s, and back: %v", what, err)
		}
	}
}

// TestClaimsBeyondTheBindingAreRefused, each with what is wrong in it.
func TestClaimsBeyondTheBindingAreRefused(t *testing.T) {
	b, _ := boundBed(t)
	for _, c := range []struct {
		group, agent, role string
		proof              role
		says               string
	}{
		{"prod", "a1", "fetch", "prod", "not to fetch"},
		{"analytics", "a1", "fetch", "prod", `to group "prod"`},
		{"prod", "a1", "produce", "nobody", "in no binding"},
		{"", "", "", "prod", "no operator"},
		{"prod", "a1", "produce", "ops", `to group ""`},
		{"prod", "a/1", "produce", "prod", "certificate"},
	} {
		var roles []string
		if c.role != "" {
			roles = []string{c.role}
		}
		if err := b.as(c.group, c.agent, roles, c.proof).asks(t); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := b.as("", "", nil, role("ops")).asks(t); err != nil {
		t.Errorf("an operator: %v", err)
	}
}

// TestFirstBindingEndsOpen: at once, also for tokens that were given before; calls without a token are refused.
func TestFirstBindingEndsOpen(t *testing.T) {
	b := newBed(t)
	b.start()
	plain := b.dial()
	open := b.as("analytics", "a1", []string{"fetch"}, identity.NewCertificate())
	config := client.Default()
	config.Addrs, config.Auth = []string{"node:1"}, &client.Auth{Group: "analytics", Agent: "a2", Roles: []string{"fetch"}, Open: true, Certified: func(client.Certified) {}}
	config.BackoffMin, config.BackoffMax, config.Patience = time.Millisecond, 10*time.Millisecond, 10*time.Second
	token, err := client.Dial(config, quiet(), prometheus.NewRegistry(), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return b.listener.Load().DialContext(ctx)
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer token.Close()
	ask := func(c *client.Client) error {
		_, err := c.Topics(t.Context(), topic.Query{Names: []string{"events"}})
		return err
	}
	if err := errors.Join(ask(plain), ask(token)); err != nil {
		t.Fatal(err)
	}
	if err := open.asks(t); !errors.Is(err, client.ErrDenied) {
		t.Errorf("one who does not want to be admitted without a proof, and has none: %v", err)
	}
	b.bind("ops", "", "ops")
	for what, c := range map[string]*client.Client{"without a token": plain, "with a token given before": token} {
		if err := ask(c); !errors.Is(err, client.ErrDenied) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestCertificateStandsForItsLogin: while STS is away an agent goes on by the certificate it was given, which earns no
// other; and no further than its binding, which that of another agent of its name is not.
func TestCertificateStandsForItsLogin(t *testing.T) {
	b, sts := boundBed(t)
	a := b.as("analytics", "a1", []string{"fetch"}, role("analytics"), identity.NewCertificate())
	if err := a.asks(t); err != nil {
		t.Fatal(err)
	}
	given := a.certs.Current()
	sts.away.Store(true)
	if err := a.Renew(t.Context()); err != nil {
		t.Fatalf("by the certificate alone: %v", err)
	}
	if err := a.asks(t); err != nil {
		t.Fatal(err)
	}
	if a.certs.Current() != given {
		t.Error("a certificate that only stands for a login has earned another")
	}
	// An agent of the same group and name, by another binding, has a certificate of the same name.
	b.bind("analytics-2", "analytics", "jobs", "jobs")
	sts.away.Store(false)
	twin := b.as("analytics", "a1", []string{"jobs"}, role("jobs"))
	if err := twin.asks(t); err != nil {
		t.Fatal(err)
	}
	greedy := b.as("analytics", "a1", []string{"fetch"}, identity.NewCertificate())
	pair := *twin.certs.Current()
	if err := greedy.certs.Set(pair, pair.Certificate[1]); err != nil {
		t.Fatal(err)
	}
	if err := greedy.asks(t); !errors.Is(err, client.ErrDenied) || !strings.Contains(err.Error(), "analytics-2") {
		t.Errorf("one binding's certificate, another's roles: %v", err)
	}
	sts.away.Store(true)
	b.unbind("analytics")
	if err := a.asks(t); !errors.Is(err, client.ErrDenied) && !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("by a certificate of a binding that is gone: %v", err)
	}
}

// TestJoinTokenIsUsedUpOnce: by an agent that it covers, whose certificate is its identity from then on.
func TestJoinTokenIsUsedUpOnce(t *testing.T) {
	b, _ := boundBed(t)
	hash := sha256.Sum256([]byte("open sesame"))
	b.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutJoinToken{PutJoinToken: &controlpb.JoinToken{
		Hash: hash[:], Until: time.Now().Add(time.Hour).UnixMilli(), Group: "guests", Roles: []string{"fetch"},
	}}})
	for what, c := range map[string]*caller{
		"another group": b.as("prod", "g1", []string{"fetch"}, word("open sesame")),
		"another role":  b.as("guests", "g1", []string{"produce"}, word("open sesame")),
		"an operator":   b.as("", "", nil, word("open sesame")),
		"another word":  b.as("guests", "g1", []string{"fetch"}, word("open")),
	} {
		if err := c.asks(t); !errors.Is(err, client.ErrDenied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	guest := b.as("guests", "g1", []string{"fetch"}, identity.NewCertificate(), word("open sesame"))
	if err := guest.asks(t); err != nil {
		t.Fatal(err)
	}
	given := guest.certs.Current()
	if life := time.Until(given.Leaf.NotAfter); life < authority.JoinedLife/2 {
		t.Errorf("the certificate holds for %s", life)
	}
	if err := guest.Renew(t.Context()); err != nil {
		t.Fatalf("by its own certificate: %v", err)
	}
	if guest.certs.Current() == given {
		t.Error("the certificate is not renewed")
	}
	if err := b.as("guests", "g2", []string{"fetch"}, word("open sesame")).asks(t); err == nil || !strings.Contains(err.Error(), "used") {
		t.Errorf("the second agent: %v", err)
	}
	if err := b.as("guests", "g2", []string{"fetch"}, identity.NewCertificate()).asks(t); err == nil {
		t.Error("an agent without a certificate is let in by it")
	}
}

// TestRotationWaitsForAll: a step is taken when every session that lives is ready for the epoch, at once when there is
// none, and after a while in any case; what was said in another term counts no more.
func TestRotationWaitsForAll(t *testing.T) {
	var r rotation
	groups, live := map[string]uint64{"a": 3, "b": 7}, map[string][]uint64{"a": {1, 2}}
	due := func(now time.Duration, want ...string) {
		t.Helper()
		got := r.due(groups, live, now)
		if len(got) != len(want) {
			t.Errorf("at %s: %v, want %v", now, got, want)
		}
		for _, group := range want {
			if got[group] != groups[group] {
				t.Errorf("at %s: %v, want %v", now, got, want)
			}
		}
	}
	due(0, "b")
	r.note(1, 3)
	r.note(2, 2)
	due(time.Second, "b")
	r.note(2, 4)
	due(time.Second, "a", "b")
	groups = map[string]uint64{"a": 5}
	due(2 * time.Second)
	due(2*time.Second + rotationPatience - 1)
	due(2*time.Second+rotationPatience, "a")
	r.note(1, 5)
	r.note(2, 5)
	r.forget()
	due(0)
	live = map[string][]uint64{}
	r.note(9, 5)
	due(0, "a")
	if len(r.ready) != 0 {
		t.Errorf("sessions that have ended are remembered: %v", r.ready)
	}
}

// TestKeysAreRotatedInTwoPhases: agents that follow are never without a key that the others use, and in the end the old
// keys and certificates are dead.
func TestKeysAreRotatedInTwoPhases(t *testing.T) {
	b, _ := boundBed(t)
	a := b.as("analytics", "a1", []string{"fetch"}, role("analytics"), identity.NewCertificate())
	g, err := a.Login(t.Context(), client.LoginRequest{Agent: "a1", Group: "analytics", Roles: []string{"fetch"}, KafkaAddress: "a:1", GossipAddress: "a:2"})
	if err != nil {
		t.Fatal(err)
	}
	if g.Keys.Epoch != 1 || len(g.Keys.Keys) != 1 || a.epoch.Load() != 1 {
		t.Fatalf("keys %+v, certificate of epoch %d", g.Keys, a.epoch.Load())
	}
	old := *a.certs.Current()
	b.change(&controlpb.WallChange{Change: &controlpb.WallChange_RotateGroup{RotateGroup: "analytics"}})
	ready, last := uint64(1), client.Keys{}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		beat, err := a.Heartbeat(t.Context(), g.Session, ready)
		if err != nil || beat.Ended {
			t.Fatalf("%+v, %v", beat, err)
		}
		if beat.Keys != nil {
			last = *beat.Keys
			if err := a.Renew(t.Context()); err != nil {
				t.Fatal(err)
			}
			ready = last.Epoch
		}
		if last.Epoch > 2 && len(last.Keys) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the rotation does not end: %+v", last)
		}
	}
	if last.LeastCertificate != 2 || a.epoch.Load() < 2 {
		t.Errorf("least certificate %d, this agent's is of epoch %d", last.LeastCertificate, a.epoch.Load())
	}
	thief := b.as("analytics", "a1", []string{"fetch"}, identity.NewCertificate())
	if err := thief.certs.Set(old, old.Certificate[1]); err != nil {
		t.Fatal(err)
	}
	if err := thief.asks(t); err == nil || !strings.Contains(err.Error(), "rotated away") {
		t.Errorf("by an old certificate: %v", err)
	}
}
