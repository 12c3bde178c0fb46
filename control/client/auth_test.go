package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/iam/identity"
)

// door is a control plane that numbers its tokens, and takes only those from a number on.
type door struct {
	controlpb.UnimplementedAuthServiceServer
	controlpb.UnimplementedTunnelServiceServer

	mu      sync.Mutex
	methods []string
	refuse  codes.Code // of proofs; OK takes them
	given   int
	least   int // tokens below it are dead
	renew   time.Duration
	nonces  int
	proofs  []string
	calls   []string // the tokens of all calls
}

func (d *door) Begin(context.Context, *controlpb.BeginRequest) (*controlpb.BeginResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nonces++
	return &controlpb.BeginResponse{ClusterId: "id-1", Nonce: fmt.Appendf(nil, "nonce-%010d", d.nonces), Methods: d.methods, Time: time.Now().UnixMilli()}, nil
}

func (d *door) Authenticate(_ context.Context, r *controlpb.AuthenticateRequest) (*controlpb.AuthenticateResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proofs = append(d.proofs, r.GetMethod()+" "+string(r.GetProof())+" "+string(r.GetNonce()))
	if d.refuse != codes.OK {
		return nil, status.Error(d.refuse, "as the test says")
	}
	d.given++
	return &controlpb.AuthenticateResponse{Token: fmt.Sprint(d.given), RenewMs: d.renew.Milliseconds()}, nil
}

func (d *door) Call(ctx context.Context, r *controlpb.CallRequest) (*controlpb.CallResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	token := strings.Join(metadata.ValueFromIncomingContext(ctx, "authorization"), ",")
	d.calls = append(d.calls, token)
	n := 0
	if _, err := fmt.Sscanf(token, "Bearer %d", &n); err != nil || n < d.least {
		return nil, status.Error(codes.Unauthenticated, "this token is dead")
	}
	return &controlpb.CallResponse{Body: r.GetBody()}, nil
}

func (d *door) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// fakeSource proves by a word.
type fakeSource struct {
	method, proof string
	err           error
}

func (s fakeSource) Method() string { return s.method }

func (s fakeSource) Proof(context.Context, identity.Challenge) ([]byte, error) {
	return []byte(s.proof), s.err
}

func (d *door) client(t *testing.T, a *Auth) *Client {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	g := grpc.NewServer()
	controlpb.RegisterTunnelServiceServer(g, d)
	controlpb.RegisterAuthServiceServer(g, d)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	c := Default()
	c.Addrs, c.Auth = []string{"a:1"}, a
	c.BackoffMin, c.BackoffMax, c.Patience = time.Millisecond, 2*time.Millisecond, time.Minute
	cl, err := Dial(c, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cl.Close()
		g.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return cl
}

func ask(t *testing.T, c *Client) error {
	t.Helper()
	_, err := c.Call(t.Context(), TunnelCall{Key: offsetFetch})
	return err
}

// TestDeadTokenIsReplacedOnce: a call whose token is not taken any more logs in anew and is made again, once.
func TestDeadTokenIsReplacedOnce(t *testing.T) {
	d := &door{methods: []string{"aws-sigv4"}, renew: time.Hour}
	c := d.client(t, &Auth{Sources: []identity.Source{fakeSource{"aws-sigv4", "p", nil}}})
	for range 2 {
		if err := ask(t, c); err != nil {
			t.Fatal(err)
		}
	}
	d.set(func() { d.least = 2 })
	if err := ask(t, c); err != nil {
		t.Fatal(err)
	}
	if want := []string{"Bearer 1", "Bearer 1", "Bearer 1", "Bearer 2"}; !slices.Equal(d.calls, want) {
		t.Errorf("calls carried %q, want %q", d.calls, want)
	}
	d.set(func() { d.least = 100 })
	if err := ask(t, c); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "dead") {
		t.Errorf("with no token that lives: %v", err)
	}
	if len(d.calls) != 6 {
		t.Errorf("%d calls in all, want 6: %q", len(d.calls), d.calls)
	}
}

// TestFailedRenewalCostsNothing: while no proof can be had, the last token goes on.
func TestFailedRenewalCostsNothing(t *testing.T) {
	d := &door{methods: []string{"aws-sigv4"}, renew: time.Millisecond}
	c := d.client(t, &Auth{Sources: []identity.Source{fakeSource{"aws-sigv4", "p", nil}}})
	if err := ask(t, c); err != nil {
		t.Fatal(err)
	}
	d.set(func() { d.refuse = codes.PermissionDenied })
	for deadline := time.Now().Add(time.Minute); ; {
		if err := ask(t, c); err != nil {
			t.Fatal(err)
		}
		var tried bool
		d.set(func() { tried = len(d.proofs) > 1 })
		if tried {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the login is not renewed")
		}
	}
	c.login.work.Wait()
	if err := ask(t, c); err != nil {
		t.Fatal(err)
	}
	if last := d.calls[len(d.calls)-1]; last != "Bearer 1" {
		t.Errorf("the last call carried %q", last)
	}
	d.set(func() { d.refuse = codes.OK })
	if err := c.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ask(t, c); err != nil {
		t.Fatal(err)
	}
	if last := d.calls[len(d.calls)-1]; last != "Bearer 2" {
		t.Errorf("after a renewal a call carried %q", last)
	}
}

// TestProofThatCannotBeMadeIsSaidAtOnce: waiting gives no region and no right at STS; a person who types a command
// reads why within the first attempt, and not after the whole patience as silence.
func TestProofThatCannotBeMadeIsSaidAtOnce(t *testing.T) {
	for _, class := range []error{identity.ErrRefused, identity.ErrMalformed} {
		d := &door{methods: []string{"aws-sigv4"}}
		why := &identity.Error{Class: class, Reason: "no region", Try: "set AWS_REGION"}
		c := d.client(t, &Auth{Sources: []identity.Source{fakeSource{"aws-sigv4", "", why}}})
		if err := ask(t, c); !errors.Is(err, ErrDenied) || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "set AWS_REGION") {
			t.Errorf("%v: got %v", class, err)
		}
		if d.nonces != 1 || len(d.proofs) != 0 {
			t.Errorf("%v: %d nonces were asked for and %d proofs sent", class, d.nonces, len(d.proofs))
		}
	}
}

// TestWaysAreTriedInOrder: the next way is for a proof that cannot be had or verified now, each with a nonce of its own;
// an answer is an answer.
func TestWaysAreTriedInOrder(t *testing.T) {
	away := errors.New("STS is away")
	for what, c := range map[string]struct {
		auth   Auth
		offer  []string
		refuse codes.Code
		proofs []string
		err    error
	}{
		"the first":            {Auth{Sources: []identity.Source{fakeSource{"aws-oidc", "o", nil}, fakeSource{"aws-sigv4", "s", nil}}}, []string{"aws-sigv4", "aws-oidc"}, 0, []string{"aws-oidc o nonce-0000000001"}, nil},
		"not offered":          {Auth{Sources: []identity.Source{fakeSource{"aws-oidc", "o", nil}, fakeSource{"aws-sigv4", "s", nil}}}, []string{"aws-sigv4"}, 0, []string{"aws-sigv4 s nonce-0000000001"}, nil},
		"cannot be made":       {Auth{Sources: []identity.Source{fakeSource{"aws-oidc", "", away}, fakeSource{"aws-sigv4", "s", nil}}}, []string{"aws-sigv4", "aws-oidc"}, 0, []string{"aws-sigv4 s nonce-0000000002"}, nil},
		"denied is denied":     {Auth{Sources: []identity.Source{fakeSource{"aws-oidc", "o", nil}, fakeSource{"aws-sigv4", "s", nil}}}, []string{"aws-sigv4", "aws-oidc"}, codes.PermissionDenied, []string{"aws-oidc o nonce-0000000001"}, ErrDenied},
		"open first":           {Auth{Open: true, Sources: []identity.Source{fakeSource{"aws-sigv4", "s", nil}}}, []string{"open", "aws-sigv4"}, 0, []string{"open  nonce-0000000001"}, nil},
		"open is not wanted":   {Auth{Sources: []identity.Source{fakeSource{"aws-sigv4", "s", nil}}}, []string{"open", "aws-sigv4"}, 0, []string{"aws-sigv4 s nonce-0000000001"}, nil},
		"none":                 {Auth{Open: true}, []string{"mtls"}, 0, nil, ErrDenied},
		"mtls without its TLS": {Auth{Sources: []identity.Source{identity.NewCertificate()}}, []string{"mtls"}, 0, nil, ErrDenied},
	} {
		d := &door{methods: c.offer, refuse: c.refuse, renew: time.Hour}
		if err := ask(t, d.client(t, &c.auth)); !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if !slices.Equal(d.proofs, c.proofs) {
			t.Errorf("%s: proofs %q, want %q", what, d.proofs, c.proofs)
		}
	}
}
