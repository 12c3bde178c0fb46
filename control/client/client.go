package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/iam/identity"
)

// Client speaks to one control plane. Its methods may be called concurrently.
type Client struct {
	config  Config
	log     *slog.Logger
	m       *metrics
	nodes   []node
	login   *login // nil: calls carry no token
	extra   []grpc.DialOption
	current atomic.Int32  // the node that answered last
	session atomic.Uint64 // named in calls; 0: an operator's tool
}

// node is one control node.
type node struct {
	addr  string
	conn  *grpc.ClientConn
	shown *strangers // nil: plain text
}

// Dial prepares connections; the first call makes them. Extra options are for tests.
func Dial(c Config, log *slog.Logger, r prometheus.Registerer, extra ...grpc.DialOption) (*Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(r)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	cl := &Client{config: c, log: log, m: m, login: newLogin(c.Auth), extra: extra}
	for _, addr := range c.Addrs {
		shown := &strangers{}
		conn, err := cl.dial(addr, nil, shown)
		if err != nil {
			return nil, errors.Join(err, cl.Close())
		}
		cl.nodes = append(cl.nodes, node{addr, conn, shown})
	}
	return cl, nil
}

// dial prepares a connection, on which a certificate is shown if there is one.
func (c *Client) dial(addr string, certificate func() *tls.Certificate, shown *strangers) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if c.config.TLS != nil {
		config := c.config.TLS.Clone()
		if certificate != nil {
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if shown := certificate(); shown != nil {
					return shown, nil
				}
				return &tls.Certificate{}, nil
			}
		}
		transport = &recognition{credentials.NewTLS(config), shown}
	}
	options := append(c.config.dialOptions(transport), c.extra...)
	conn, err := grpc.NewClient("passthrough:///"+addr, options...)
	if err != nil {
		return nil, fmt.Errorf("prepare connection to control plane %s: %w", addr, err)
	}
	return conn, nil
}

func (c Config) dialOptions(transport credentials.TransportCredentials) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: c.KeepaliveTime, Timeout: c.KeepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: c.BackoffMin, Multiplier: 1.6, Jitter: 0.2, MaxDelay: c.BackoffMax},
			MinConnectTimeout: c.ConnectTimeout,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(c.MessageBytes), grpc.MaxCallSendMsgSize(c.MessageBytes)),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
	}
}

// Close ends all connections and the streams on them.
func (c *Client) Close() error {
	c.login.close()
	var faults []error
	for _, n := range c.nodes {
		faults = append(faults, n.conn.Close())
	}
	return errors.Join(faults...)
}

// Session is the session that calls name: that of the last login, or 0.
func (c *Client) Session() uint64 { return c.session.Load() }

// UseSession has calls name a session that another client was given.
func (c *Client) UseSession(session uint64) { c.session.Store(session) }

// repeat says when a call may be tried again.
type repeat int

const (
	always         repeat = iota // it may be carried out twice
	acrossSessions               // and the next session may ask as well as this one
	whileRefused                 // only when it certainly was not carried out
)

// call is one attempt at a node; trailer receives what the server says of an error.
type call func(ctx context.Context, n node, trailer *metadata.MD) error

// do tries a call, in the name of whoever is logged in, until it is answered; see the package's promises. A token that
// is not taken any more is replaced once.
func (c *Client) do(ctx context.Context, method string, r repeat, try call) error {
	if c.login == nil {
		return c.try(ctx, method, r, try)
	}
	for again := false; ; again = true {
		if err := c.ensure(ctx); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		used := c.login.token.Load()
		err := c.try(ctx, method, r, func(ctx context.Context, n node, trailer *metadata.MD) error {
			return try(c.authorized(ctx), n, trailer)
		})
		if !errors.Is(err, errToken) || again {
			return err
		}
		c.login.token.CompareAndSwap(used, nil)
	}
}

// try tries a call until it is answered.
func (c *Client) try(ctx context.Context, method string, r repeat, try call) error {
	start, code := time.Now(), codes.OK
	defer func() { c.m.answered(method, code, time.Since(start)) }()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.config.Patience, fmt.Errorf("%w within %s", ErrUnavailable, c.config.Patience))
		defer cancel()
	}
	for pause := c.config.BackoffMin; ; pause = min(2*pause, c.config.BackoffMax) {
		f := c.attempt(ctx, try)
		if f == nil {
			return nil
		}
		code = f.code
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w: %w", method, context.Cause(ctx), f.err)
		}
		if !f.again(r) {
			return fmt.Errorf("%s: %w", method, f.err)
		}
		c.m.retries.WithLabelValues(method).Inc()
		c.log.Debug("control plane is asked again", "method", method, "error", f.err)
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("%s: %w: %w", method, err, f.err)
		}
	}
}

// again says whether another attempt is allowed and may help. A session that has ended is replaced by
// the membership loop; the next attempt names the new one.
func (f *fault) again(r repeat) bool {
	if r == whileRefused && !f.refused {
		return false
	}
	return f.transient || f.ended && r != always
}

// attempt asks the node that answered last, and turns to the next one when it does not lead.
func (c *Client) attempt(ctx context.Context, try call) *fault {
	at := c.current.Load()
	n := c.nodes[at]
	if err := n.ready(ctx, c.config.ConnectTimeout); err != nil {
		c.turn(at)
		return &fault{err: err, code: codes.Unavailable, refused: true, transient: !errors.Is(err, ErrStranger) || !c.config.LeaveStrangers}
	}
	var trailer metadata.MD
	err := try(ctx, n, &trailer)
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrDenied) {
		return &fault{err: err, code: codes.Unauthenticated, refused: true} // said here
	}
	if errors.Is(err, errNoProof) && (errors.Is(err, identity.ErrRefused) || errors.Is(err, identity.ErrMalformed)) {
		// Only a change of the configuration or of the account helps: who waits should read of it now.
		return &fault{err: fmt.Errorf("%w: %w", ErrDenied, err), code: codes.Unauthenticated, refused: true}
	}
	if errors.Is(err, errNoProof) {
		return &fault{err: fmt.Errorf("%w: %w", ErrUnavailable, err), code: codes.Unavailable, refused: true, transient: true}
	}
	f := classify(n.addr, err, trailer)
	if f.transient {
		c.turn(at)
	}
	return f
}

func (c *Client) turn(from int32) {
	c.current.CompareAndSwap(from, (from+1)%int32(len(c.nodes)))
}

// ready waits until the connection stands, so that failing to connect is told from losing an answer.
func (n node) ready(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for failed := false; ; {
		n.conn.Connect()
		state := n.conn.GetState()
		switch {
		case state == connectivity.Ready:
			return nil
		case state == connectivity.Shutdown:
			return fmt.Errorf("%w: connection to %s is closed", ErrUnavailable, n.addr)
		case state == connectivity.TransientFailure && failed:
			if err := n.shown.last(); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrUnavailable, n.addr, err)
			}
			return fmt.Errorf("%w: cannot connect to %s: %s (is it running? check --control)", ErrUnavailable, n.addr, n.why(ctx))
		}
		if state == connectivity.TransientFailure {
			n.conn.ResetConnectBackoff() // do pauses between attempts
		}
		failed = state == connectivity.TransientFailure || state == connectivity.Connecting
		if !n.conn.WaitForStateChange(ctx, state) {
			return fmt.Errorf("%w: cannot connect to %s within %s (is it running? check --control)", ErrUnavailable, n.addr, timeout)
		}
	}
}

// why is what the last attempt to connect ended with: gRPC tells that to calls alone. The call does nothing, should
// the connection stand by now.
func (n node) why(ctx context.Context) string {
	_, err := controlpb.NewAuthServiceClient(n.conn).Begin(ctx, &controlpb.BeginRequest{})
	if err == nil {
		return "it was away a moment ago"
	}
	return strings.TrimPrefix(status.Convert(err).Message(), "connection error: desc = ")
}

// sleep pauses for half of d to all of it.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
