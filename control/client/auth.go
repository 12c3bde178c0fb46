package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/iam/identity"
)

// methodOpen is the login of whoever calls from loopback while the cluster has no bindings.
const methodOpen = "open"

// methodToken is the login by a join token.
const methodToken = "token"

// Auth is who a client is, and how it proves that. Without one, calls carry no token.
type Auth struct {
	// Group, Agent and Roles are what is claimed; an operator claims nothing.
	Group, Agent string
	Roles        []string
	// Sources are the ways to prove it, the best first. The first that the control plane takes is used, and the next
	// one where its proof cannot be made or verified now. Open is tried before them where it is offered.
	Sources []identity.Source
	// Open is false where being admitted without proof is not wanted.
	Open bool
	// Certificate is shown when logging in; nil: none. An agent shows the one it was given, if there is one.
	Certificate func() *tls.Certificate
	// Certified is told of each certificate that the agent is given; nil: none is wanted. The certificate's chain holds
	// its authority. It returns soon.
	Certified func(Certified)
}

// Certified is a certificate of the cluster's own.
type Certified struct {
	Certificate tls.Certificate // with its key
	Authority   []byte          // DER
	Epoch       uint64          // of the group's keys, when it was given
}

// login is the client's being logged in.
type login struct {
	auth Auth
	one  sync.Mutex // held while logging in

	// Of one: whoever was not let in a moment ago is not let in now, and does not ask for every call that it wants to make.
	denied      error
	deniedUntil time.Time

	token    atomic.Pointer[token]
	renewing atomic.Bool
	skewed   atomic.Bool // the clock was complained of
	work     sync.WaitGroup
	ctx      context.Context // ends with the client
	cancel   context.CancelFunc
}

// token is what calls carry. How long it holds is for the control plane to say: its clock judges it.
type token struct {
	value string
	renew time.Time // by this process's own clock, which does not jump
}

func newLogin(a *Auth) *login {
	if a == nil {
		return nil
	}
	l := &login{auth: *a}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

func (l *login) close() {
	if l != nil {
		l.cancel()
		l.work.Wait()
	}
}

// authorized is ctx with the token that calls carry, if there is one.
func (c *Client) authorized(ctx context.Context) context.Context {
	if c.login == nil {
		return ctx
	}
	if t := c.login.token.Load(); t != nil {
		return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+t.value)
	}
	return ctx
}

// ensure logs in if that was not done yet. A token is renewed beside the calls, long before it ends: until then, and
// for as long as the control plane takes it, nothing waits for a login.
func (c *Client) ensure(ctx context.Context) error {
	l := c.login
	if l == nil {
		return nil
	}
	t := l.token.Load()
	switch {
	case t == nil:
		return c.logIn(ctx, nil)
	case time.Now().After(t.renew):
		c.renew(t)
	}
	return nil
}

// renewAgain is how long after a failed renewal the next one is tried.
const renewAgain = 10 * time.Second

func (c *Client) renew(t *token) {
	l := c.login
	if l.ctx.Err() != nil || !l.renewing.CompareAndSwap(false, true) {
		return
	}
	l.work.Go(func() {
		defer l.renewing.Store(false)
		ctx, cancel := context.WithTimeout(l.ctx, c.config.Patience)
		defer cancel()
		if err := c.logIn(ctx, t); err != nil && l.ctx.Err() == nil {
			c.log.Warn("the login was not renewed; the last one goes on while it holds", "error", err)
			l.token.CompareAndSwap(t, &token{t.value, time.Now().Add(renewAgain)})
		}
	})
}

// Renew logs in anew now: what the control plane gives at a login has changed.
func (c *Client) Renew(ctx context.Context) error {
	if c.login == nil {
		return nil
	}
	return c.logIn(ctx, c.login.token.Load())
}

// logIn replaces old, unless somebody has done so meanwhile.
func (c *Client) logIn(ctx context.Context, old *token) error {
	l := c.login
	l.one.Lock()
	defer l.one.Unlock()
	if l.token.Load() != old {
		return nil
	}
	if old == nil && l.denied != nil && time.Now().Before(l.deniedUntil) {
		return l.denied
	}
	var got *token
	err := c.try(ctx, "Authenticate", always, func(ctx context.Context, n node, trailer *metadata.MD) (err error) {
		got, err = c.prove(ctx, n, trailer)
		return err
	})
	l.denied = nil
	if err != nil {
		err = fmt.Errorf("prove who this is: %w", err)
		if errors.Is(err, ErrDenied) {
			l.denied, l.deniedUntil = err, time.Now().Add(c.config.DeniedPause/2)
		}
		return err
	}
	l.token.Store(got)
	return nil
}

// prove logs in at one node, over a connection of its own: what is shown there is the certificate as it is now.
func (c *Client) prove(ctx context.Context, n node, trailer *metadata.MD) (*token, error) {
	conn, err := c.dial(n.addr, c.login.auth.Certificate, n.shown)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing is under way on it
	service := controlpb.NewAuthServiceClient(conn)
	begun, err := c.begin(ctx, service, trailer)
	if err != nil {
		return nil, err
	}
	if c.login.auth.Open && slices.Contains(begun.GetMethods(), methodOpen) {
		return c.authenticate(ctx, service, begun, openSource{}, trailer)
	}
	var first error
	for i, source := range c.login.auth.Sources {
		if !slices.Contains(begun.GetMethods(), source.Method()) || source.Method() == identity.MethodMTLS && !c.certified() {
			continue
		}
		if first != nil { // a nonce is good once
			if begun, err = c.begin(ctx, service, trailer); err != nil {
				return nil, err
			}
			c.log.Warn("a way to prove who this is failed, trying the next", "next", source.Method(), "error", first)
		}
		t, err := c.authenticate(ctx, service, begun, source, trailer)
		if err == nil || ctx.Err() != nil {
			return t, err
		}
		c.m.logins.WithLabelValues(source.Method(), "failed").Inc()
		if first == nil {
			first = err
		}
		if !errors.Is(err, errNoProof) && !classify(n.addr, err, *trailer).transient && !c.tokenFollows(i) {
			return nil, err // it was answered, and another way gets the same answer
		}
	}
	if first != nil {
		return nil, first
	}
	return nil, fmt.Errorf("%w: the control plane takes logins by %s, and this process was told of none of these ways to prove who it is (see --login)", ErrDenied, strings.Join(begun.GetMethods(), ", "))
}

// tokenFollows says whether the way after one is a token, which makes an identity where there is none, or none any more.
func (c *Client) tokenFollows(i int) bool {
	rest := c.login.auth.Sources[i+1:]
	return len(rest) > 0 && rest[0].Method() == methodToken
}

// certified says whether a connection that is made now shows a certificate.
func (c *Client) certified() bool {
	return c.config.TLS != nil && c.login.auth.Certificate != nil && c.login.auth.Certificate() != nil
}

// errNoProof: the proof could not be made here; nothing was sent.
var errNoProof = errors.New("cannot prove who this is")

// openSource proves nothing.
type openSource struct{}

func (openSource) Method() string                                            { return methodOpen }
func (openSource) Proof(context.Context, identity.Challenge) ([]byte, error) { return nil, nil }

// mostSkew is how far the clocks may be apart before it is said.
const mostSkew = 30 * time.Second

func (c *Client) begin(ctx context.Context, service controlpb.AuthServiceClient, trailer *metadata.MD) (*controlpb.BeginResponse, error) {
	begun, err := service.Begin(ctx, &controlpb.BeginRequest{}, grpc.Trailer(trailer))
	if err != nil {
		return nil, err
	}
	if skew := time.Until(time.UnixMilli(begun.GetTime())); skew.Abs() > mostSkew && !c.login.skewed.Swap(true) {
		c.log.Warn("this machine's clock and the control plane's are apart; proofs of identity may be refused for it", "ahead", -skew.Round(time.Second))
	}
	return begun, nil
}

// authenticate makes one proof and shows it.
func (c *Client) authenticate(ctx context.Context, service controlpb.AuthServiceClient, begun *controlpb.BeginResponse, source identity.Source, trailer *metadata.MD) (*token, error) {
	a := &c.login.auth
	r := &controlpb.AuthenticateRequest{Method: source.Method(), Nonce: begun.GetNonce(), Group: a.Group, Agent: a.Agent, Roles: a.Roles}
	var key *ecdsa.PrivateKey
	if a.Certified != nil && a.Group != "" {
		var err error
		if key, r.Csr, err = certificateRequest(); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoProof, err)
		}
	}
	var err error
	r.Proof, err = source.Proof(ctx, identity.Challenge{
		Server: begun.GetClusterId(), Nonce: begun.GetNonce(), Claim: identity.Claim{Group: a.Group, Agent: a.Agent, Roles: a.Roles, CSR: r.Csr},
	})
	if err != nil {
		return nil, fmt.Errorf("%w by %s: %w", errNoProof, source.Method(), err)
	}
	sent := time.Now()
	got, err := service.Authenticate(ctx, r, grpc.Trailer(trailer))
	if err != nil {
		return nil, err
	}
	if len(got.GetCertificate()) > 0 && key != nil {
		a.Certified(Certified{
			Certificate: tls.Certificate{Certificate: [][]byte{got.GetCertificate(), got.GetAuthority()}, PrivateKey: key},
			Authority:   got.GetAuthority(), Epoch: got.GetCertificateEpoch(),
		})
	}
	c.m.logins.WithLabelValues(source.Method(), "ok").Inc()
	level := slog.LevelDebug // of an operator's command
	if a.Group != "" {
		level = slog.LevelInfo
	}
	c.log.Log(ctx, level, "let in", "method", source.Method(), "identity", got.GetIdentity(), "binding", got.GetBinding(), "certificate", len(got.GetCertificate()) > 0)
	return &token{got.GetToken(), sent.Add(time.Duration(got.GetRenewMs()) * time.Millisecond)}, nil
}

// certificateRequest asks for a certificate for a new key: one that has leaked is worth nothing after an hour.
func certificateRequest() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("draw the key of a certificate: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a certificate request: %w", err)
	}
	return key, csr, nil
}
