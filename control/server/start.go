package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/authority"
	"github.com/isthmusdata/isthmus/control/awake"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/hub"
	"github.com/isthmusdata/isthmus/control/raft"
	"github.com/isthmusdata/isthmus/control/tunnel"
	"github.com/isthmusdata/isthmus/iam/identity"
)

// Deps are what a node asks of its surroundings.
type Deps struct {
	// Store is the bucket; the node uses what lies below <cluster>/meta/ alone.
	Store      raft.Claims
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Listener serves instead of one made for Config.Listen; for tests and processes that hold several.
	Listener net.Listener
	// Certificate is served instead of one of the cluster's own authority.
	Certificate func() (*tls.Certificate, error)
	// Authenticators verify proofs of identity. The cluster's own certificates are taken beside them, and those of
	// TrustDomains, which other authorities sign.
	Authenticators []identity.Authenticator
	TrustDomains   map[string]*x509.CertPool
	// SecondClock and Wall replace the bucket's clock and the wall clock; for tests.
	SecondClock raft.SecondClock
	Wall        func() time.Time
}

// Node is one running control node.
type Node struct {
	log      *slog.Logger
	service  *service
	raft     *raft.Node
	grpc     *grpc.Server
	listener net.Listener
	outside  net.Listener // nil: none
	terms    sync.WaitGroup
	serving  sync.WaitGroup
	stop     context.CancelFunc
	once     sync.Once
	stopped  error
}

// Start runs a control node. It listens first, so that a busy port is an error before anything is
// touched; then it takes the data directory and the bucket prefix, replays its log, and serves. It does
// not wait for an election: Ready and WaitReady do. ctx bounds the start alone.
func Start(ctx context.Context, c Config, d Deps) (*Node, error) {
	c = c.aligned()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	listener := d.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", c.Listen); err != nil {
			return nil, fmt.Errorf("listen for agents on %s: %w (choose another address with --listen)", c.Listen, err)
		}
	}
	n := &Node{log: d.Logger, listener: listener}
	if c.Outside != "" {
		var err error
		if n.outside, err = net.Listen("tcp", c.Outside); err != nil {
			return nil, errors.Join(fmt.Errorf("listen for agents of other machines on %s: %w", c.Outside, err), listener.Close())
		}
	}
	if err := n.start(ctx, c, d); err != nil {
		for _, l := range n.listeners() {
			err = errors.Join(err, l.Close())
		}
		return nil, err
	}
	return n, nil
}

func (n *Node) start(ctx context.Context, c Config, d Deps) (err error) {
	s := &service{
		config: c, log: d.Logger, leases: newLeases(c.Raft.Limits.Lease), awake: awake.Machine(), clock: d.Wall, born: time.Now(),
		local: ownMachine(n.listener.Addr()),
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	s.stopping, n.stop = context.WithCancel(context.Background())
	s.seeds.Store(&map[string][]string{})
	n.service = s
	if s.m, err = newMetrics(d.Registerer); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	s.hub = hub.New(s.m.watchResets.Inc)
	s.tunnel = tunnel.New(backend{s}, c.Tunnel, d.Logger)
	s.tunnel.OnDenied(s.tallyTunnel)
	if err := s.tunnel.Register(d.Registerer); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	opened := make(chan struct{})
	s.node, err = raft.Open(ctx, c.Raft, raft.Deps{
		Cluster: c.Cluster, Store: d.Store, SecondClock: d.SecondClock, Wall: d.Wall, Logger: d.Logger, Registerer: d.Registerer,
		Applied: s.applied, Restored: s.hub.Lose,
		Elected: func(term context.Context) {
			n.terms.Go(func() {
				<-opened
				s.lead(term)
			})
		},
	})
	if err != nil {
		return fmt.Errorf("start control node: %w", err)
	}
	n.raft = s.node
	certificate, err := s.openAuthority(n.listeners(), d)
	if err != nil {
		return errors.Join(err, s.node.Close())
	}
	close(opened)
	if err := registerGauges(d.Registerer, s.node.Peek); err != nil {
		return errors.Join(fmt.Errorf("register metrics: %w", err), s.node.Close())
	}
	n.grpc = newGRPC(c, s, newTransport(certificate, c.Insecure))
	for _, l := range n.listeners() {
		n.serving.Go(func() {
			if err := n.grpc.Serve(bound(mark(l), c.Connections)); err != nil {
				n.raft.Fail(fmt.Errorf("serve agents on %s: %w", l.Addr(), err))
			}
		})
	}
	n.log.Info("control node is up", "listen", n.listener.Addr().String(), "dir", c.Raft.Dir, "cluster", c.Cluster, "pin", s.authority.Pin())
	return nil
}

// openAuthority takes the cluster's keys up, and says which certificate the listener shows.
func (s *service) openAuthority(listeners []net.Listener, d Deps) (certificate func() (*tls.Certificate, error), err error) {
	id := s.node.Identity()
	s.authority, err = authority.Open(authority.Options{Dir: AuthorityDir(s.config.Raft.Dir), Cluster: id.Cluster, ClusterID: id.ClusterID, Now: s.clock})
	if err != nil {
		return nil, err
	}
	domains := maps.Clone(d.TrustDomains)
	if domains == nil {
		domains = map[string]*x509.CertPool{}
	}
	own := strings.ToLower(id.Cluster)
	if domains[own] != nil {
		return nil, fmt.Errorf("the trust domain %s is the cluster's own: name another one for certificates of another authority", own)
	}
	domains[own] = s.authority.Roots()
	s.authenticators = append(slices.Clone(d.Authenticators), identity.NewMTLS(domains, s.clock))
	var listens []net.Addr
	for _, l := range listeners {
		listens = append(listens, l.Addr())
	}
	names, err := hosts(listens, s.config.Advertise)
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses for the certificate: %w", err)
	}
	server, err := s.authority.Server(id.Node, names)
	if err != nil {
		return nil, err
	}
	if d.Certificate != nil {
		return d.Certificate, nil
	}
	return server.Get, nil
}

// AuthorityDir is where the cluster's keys are in a data directory.
func AuthorityDir(data string) string { return filepath.Join(data, "ca") }

func newGRPC(c Config, s *service, t credentials.TransportCredentials) *grpc.Server {
	g := grpc.NewServer(
		grpc.Creds(t),
		grpc.MaxRecvMsgSize(c.MessageBytes), grpc.MaxSendMsgSize(64<<20), grpc.MaxConcurrentStreams(c.Streams),
		grpc.ConnectionTimeout(10*time.Second), grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 2 * time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(s.streaming),
	)
	controlpb.RegisterSequencerServiceServer(g, s)
	controlpb.RegisterIndexServiceServer(g, s)
	controlpb.RegisterMembershipServiceServer(g, s)
	controlpb.RegisterTunnelServiceServer(g, s)
	controlpb.RegisterStatusServiceServer(g, s)
	controlpb.RegisterAuthServiceServer(g, s)
	controlpb.RegisterWallsServiceServer(g, s)
	return g
}

func (n *Node) listeners() []net.Listener {
	if n.outside == nil {
		return []net.Listener{n.listener}
	}
	return []net.Listener{n.listener, n.outside}
}

// OutsideAddr is where callers from other machines come in; nil: only where the node listens for all.
func (n *Node) OutsideAddr() net.Addr {
	if n.outside == nil {
		return nil
	}
	return n.outside.Addr()
}

// Pin is what clients know the cluster's own authority by.
func (n *Node) Pin() string { return n.service.authority.Pin() }

// Addr is where the node listens.
func (n *Node) Addr() net.Addr { return n.listener.Addr() }

// Identity says which cluster and node this is.
func (n *Node) Identity() raft.Identity { return n.raft.Identity() }

// Ready returns nil while the node leads and serves, or says what it waits for.
func (n *Node) Ready() error {
	if err := n.raft.Ready(); err != nil {
		return err
	}
	if n.service.term.Load() != nil {
		return nil
	}
	return errors.New("waiting for the term to be set up")
}

// WaitReady waits until the node serves, has failed, or ctx ends.
func (n *Node) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := n.Ready()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-n.raft.Done():
			return n.raft.Err()
		case <-ctx.Done():
			return fmt.Errorf("control node is not ready: %w: %w", context.Cause(ctx), err)
		}
	}
}

// Done is closed when the node has failed or was stopped; the process then calls Stop and exits.
func (n *Node) Done() <-chan struct{} { return n.raft.Done() }

// Err says why Done is closed.
func (n *Node) Err() error { return n.raft.Err() }

// Peek reads the state as this node has it; for tools in the same process.
func (n *Node) Peek(read func(*control.State)) { n.raft.Peek(read) }

// Snapshot writes the state to disk now and shortens the log.
func (n *Node) Snapshot(ctx context.Context) error { return n.raft.Snapshot(ctx) }

// Stop ends the node in order: streams are told, calls are finished until ctx ends, then the log is
// closed and the data directory given up. A failure that had ended the node already is returned too.
func (n *Node) Stop(ctx context.Context) error {
	n.once.Do(func() {
		failed := n.raft.Err()
		n.stop()
		finished := make(chan struct{})
		go func() {
			n.grpc.GracefulStop()
			close(finished)
		}()
		select {
		case <-finished:
		case <-ctx.Done():
			n.grpc.Stop()
			<-finished
		}
		n.serving.Wait()
		n.service.lastAudit()
		n.stopped = errors.Join(failed, n.raft.Close())
		n.terms.Wait()
		n.log.Info("control node has stopped")
	})
	return n.stopped
}
