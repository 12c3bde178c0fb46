package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/isthmusdata/isthmus/agentgroup"
	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/fetch"
	"github.com/isthmusdata/isthmus/internal/broker"
	"github.com/isthmusdata/isthmus/internal/certs"
	"github.com/isthmusdata/isthmus/internal/meter"
	"github.com/isthmusdata/isthmus/internal/obs"
	"github.com/isthmusdata/isthmus/internal/quota"
	"github.com/isthmusdata/isthmus/internal/wire"
	"github.com/isthmusdata/isthmus/produce"
)

// drainTimeout bounds a graceful stop: what is under way is stored, committed and answered.
const drainTimeout = 30 * time.Second

// goodbyeTimeout bounds the last word to the control plane. It spares others the wait for the lease,
// which is 12 s by itself, so that a control plane that is away is not worth waiting for.
const goodbyeTimeout = 2 * time.Second

func newAgent() *cobra.Command {
	config := defaultAgent()
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run one agent: it speaks Kafka to clients and keeps nothing",
		Long: `agent logs in to the control plane, joins the gossip of its group, and serves Kafka clients in
the roles it is given. It learns at login which buckets hold the shares it may use.`,
		Example: `  isthmus agent --control 127.0.0.1:7400 --group prod --roles produce
  isthmus agent --control 127.0.0.1:7400 --group analytics --roles fetch --kafka 127.0.0.1:9192 --gossip 127.0.0.1:7947 --http 127.0.0.1:7482`,
	}
	config.addFlags(cmd.Flags())
	addConfigFlags(cmd)
	cmd.RunE = configured(func(cmd *cobra.Command) error {
		if err := config.Validate(); err != nil {
			return usageError{err}
		}
		logger, err := newLogger(cmd)
		if err != nil {
			return err
		}
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(int64(config.Memory))
		}
		return runAgent(cmd.Context(), config, logger)
	})
	return cmd
}

// runAgent runs one agent until ctx ends, and then lets it finish what is under way.
func runAgent(ctx context.Context, config agentConfig, log *slog.Logger) error {
	wall, err := testClock(log)
	if err != nil {
		return err
	}
	a, err := startAgent(ctx, config, agentDeps{log: log, registry: obs.NewRegistry(), open: openBucket, wall: wall})
	if err != nil {
		return unlessInterrupted(ctx, err, log)
	}
	select {
	case <-ctx.Done():
		log.Info("stopping: what is under way is stored and answered first (interrupt again to stop at once)")
	case err = <-a.failed:
	}
	stop, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	return errors.Join(err, a.stop(stop))
}

// agentDeps is what differs between an agent of its own process and one beside others.
type agentDeps struct {
	log      *slog.Logger
	registry *prometheus.Registry
	open     storeOpener
	wall     wallClock // nil: the machine's
	poison   bool      // see wire.Deps and fetch.Deps
}

// now is the time of day as the agent believes it to be.
func (d agentDeps) now() time.Time {
	if d.wall != nil {
		return d.wall()
	}
	return time.Now()
}

// agent is one running agent. Its fields stand in the order in which they are made.
type agent struct {
	config  agentConfig
	name    string // drawn at the start, the same for its whole life
	log     *slog.Logger
	deps    agentDeps
	failed  chan error // what ends an agent that nobody stopped
	cancel  context.CancelFunc
	running sync.WaitGroup
	ready   atomic.Pointer[string] // what it waits for; nil: nothing

	certificate *certs.Holder // among the agents of the group
	keys        keyChange
	kept        *keptIdentity // nil: nothing is kept

	http   *obs.Server
	kafka  net.Listener
	gossip *agentgroup.Listener
	peers  net.Listener // nil without the fetch role

	client     *client.Client
	membership *client.Membership
	grant      client.Grant // of the first login
	session    atomic.Uint64
	cuts       struct {
		sync.Mutex
		from    map[string]bool  // what is out of reach
		lost    map[string]error // what the agent is refused, and why
		handing bool             // handOver is running
	}
	fetched  lastFetch
	meter    *meter.Meter
	stores   *stores
	group    *agentgroup.Group
	topics   *broker.TopicCache
	producer *produce.Runner // nil without the role
	fetcher  *fetch.Handler  // nil without the role
	chunks   *fetch.PeerServer
	server   *wire.Server
}

// startAgent builds an agent in reading order: addresses, the control plane's word, what it may do at buckets, the group,
// the roles, and last the door for clients. When it fails, what it had built is closed.
func startAgent(ctx context.Context, config agentConfig, deps agentDeps) (*agent, error) {
	name := make([]byte, 8)
	if _, err := rand.Read(name); err != nil {
		return nil, fmt.Errorf("draw the agent's name: %w", err)
	}
	life, cancel := context.WithCancel(context.Background())
	a := &agent{
		config: config, name: hex.EncodeToString(name), deps: deps, failed: make(chan error, 8), cancel: cancel,
		log: deps.log, meter: meter.New(config.Group), certificate: certs.NewHolder(certs.Agent, deps.now),
	}
	a.cuts.from, a.cuts.lost = map[string]bool{}, map[string]error{}
	if err := errors.Join(deps.registry.Register(a.meter), a.takeUp()); err != nil {
		cancel()
		return nil, err
	}
	for _, build := range []func(context.Context, context.Context) error{
		a.listen, a.login, a.checkRoles, a.join, a.buildRoles, a.serve,
	} {
		if err := build(ctx, life); err != nil {
			a.kill()
			return nil, err
		}
	}
	a.waitsFor("")
	a.log.Info("agent serves", "roles", config.Roles.String(), "kafka", a.advertised(), "node", a.grant.NodeID, "http", a.httpAddr())
	return a, nil
}

// waitsFor says in /readyz what the agent waits for; "" is nothing.
func (a *agent) waitsFor(what string) {
	if what == "" {
		a.ready.Store(nil)
		return
	}
	a.ready.Store(&what)
}

// listen takes the addresses, so that a busy port is an error before anybody is told of it.
func (a *agent) listen(_, _ context.Context) (err error) {
	c := &a.config
	a.waitsFor("waiting for the control plane at " + fmt.Sprint(c.Login.Addresses))
	if c.HTTP != "" {
		if a.http, err = obs.Serve(c.HTTP, a.deps.registry, a.readiness); err != nil {
			return err
		}
	}
	certificate, err := c.certificate(a.log)
	if err != nil {
		return err
	}
	if a.kafka, err = wire.Listen(c.Kafka, certificate); err != nil {
		return fmt.Errorf("listen for Kafka clients on %s: %w (choose another address with --kafka)", c.Kafka, err)
	}
	gossip := agentgroup.Default()
	gossip.Bind = c.Gossip
	if a.gossip, err = agentgroup.Listen(gossip, a.log); err != nil {
		return err
	}
	if c.Roles.has("fetch") {
		if a.peers, err = net.Listen("tcp", c.peerAddress()); err != nil {
			return fmt.Errorf("listen for agents of the group on %s: %w (choose another address with --peer)", c.peerAddress(), err)
		}
	}
	return nil
}

func (a *agent) readiness() error {
	if what := a.ready.Load(); what != nil {
		return errors.New(*what)
	}
	return a.lostAccesses()
}

// login gets a session, however long the control plane is away.
func (a *agent) login(ctx, life context.Context) (err error) {
	a.config.Login.sts = a.config.Credentials.STSEndpoint
	config, err := a.config.Login.client(a.config.Group, a.name, a.config.Roles)
	if err != nil {
		return err
	}
	a.certify(config.Auth)
	if a.client, err = client.Dial(config, a.log, a.deps.registry); err != nil {
		return err
	}
	request := client.LoginRequest{
		Agent: a.name, Group: a.config.Group, Roles: a.config.Roles, Zone: a.config.Zone,
		KafkaAddress: a.advertised(), GossipAddress: a.gossip.Address(), Version: version,
	}
	if a.peers != nil {
		request.PeerAddress = a.peers.Addr().String()
	}
	a.membership = client.NewMembership(a.client, request, client.Hooks{
		Granted: func(g client.Grant) { a.granted(life, g) }, Ended: a.ended, Seeds: a.seeds, Walls: a.wallsChanged, Denied: a.denied,
		Keys: func(k client.Keys) { a.rekey(life, k) }, Reached: func(ok bool) { a.cutOff(life, "control plane", !ok) },
		Served: a.served, Metered: a.meter.Totals,
	}, a.log)
	notice := time.AfterFunc(operatorNotice, func() {
		a.log.Info("waiting for the control plane", "control", a.config.Login.Addresses)
	})
	defer notice.Stop()
	for {
		a.grant, err = a.membership.Grant(ctx)
		switch {
		case err == nil:
			a.stores, err = newStores(storesDeps{
				agentDeps: a.deps, Credentials: a.config.Credentials, Cluster: a.grant.Cluster, Group: a.config.Group, Agent: a.name, Meter: a.meter,
				Life: life, Spawn: a.running.Go, Active: a.fetched.lately,
				Cut:  func(share string, cut bool) { a.cutOff(life, "bucket of share "+share, cut) },
				Lost: func(share, role string, why error) { a.lostAccess(life, share, role, why) },
			}, a.grant.Shares)
			return err
		case ctx.Err() != nil:
			return err
		case !errors.Is(err, client.ErrUnavailable):
			return err
		}
		a.log.Warn("the control plane does not answer, trying again", "control", a.config.Login.Addresses, "error", err)
	}
}

// granted is told of every login: buckets and neighbours may have changed.
func (a *agent) granted(life context.Context, g client.Grant) {
	a.session.Store(g.Session)
	if a.group != nil {
		a.waitsFor("")
		a.stores.learn(g.Shares)
		a.rekey(life, g.Keys)
		a.limit(g.Quota, g.Agents)
		a.group.Reseed(g.Seeds)
		if err := a.group.Update(a.member(g)); err != nil {
			a.log.Error("cannot gossip the new session", "session", g.Session, "error", err)
		}
	}
}

// wallsChanged is told that grants, shares or quotas may have changed: what was known of topics is asked for again.
func (a *agent) wallsChanged(b client.Beat) {
	a.stores.learn(b.Shares)
	a.topics.WallsChanged()
	a.limit(b.Quota, b.Agents)
}

// served is what clients have fetched of each topic since it was asked last.
func (a *agent) served() []client.Usage {
	if a.fetcher == nil {
		return nil
	}
	var all []client.Usage
	for _, u := range a.fetcher.TakeUsage() {
		all = append(all, client.Usage(u))
	}
	return all
}

// limit holds clients to this agent's part of the group's quota.
func (a *agent) limit(q client.Quota, agents int32) {
	a.server.SetQuota(quota.Limits{BytesIn: q.BytesIn, BytesOut: q.BytesOut, Requests: q.Requests, Connections: q.Connections}.Share(int(agents)))
}

// denied is told that the control plane does not let the agent in any more. It stays, for the wall may be opened
// again; meanwhile it serves nothing that it was told before.
func (a *agent) denied(err error) {
	a.waitsFor("not let in: " + err.Error())
	if a.topics != nil {
		a.topics.WallsChanged()
	}
	if a.fetcher != nil {
		a.fetcher.Withdraw()
	}
}

// ended is told that a session is over. Only the writer may draw a conclusion from it.
func (a *agent) ended(session uint64) {
	if a.producer != nil {
		a.producer.SessionEnded(session)
	}
}

func (a *agent) seeds(seeds []string) {
	if a.group != nil {
		a.group.Reseed(seeds)
	}
}

// member is what the agent gossips of itself.
func (a *agent) member(g client.Grant) agentgroup.Member {
	m := agentgroup.Member{
		NodeID: g.NodeID, Agent: a.name, Session: g.Session, Roles: a.config.Roles, Zone: a.config.Zone,
		Kafka: a.advertised(), Gossip: a.gossip.Address(),
	}
	if a.peers != nil {
		m.Peer = a.peers.Addr().String()
	}
	return m
}

// join enters the gossip of the group, and keeps the session alive from here on.
func (a *agent) join(ctx, life context.Context) (err error) {
	config := agentgroup.Default()
	config.Cluster, config.Group, config.Bind = a.grant.Cluster, a.config.Group, a.config.Gossip
	deps := agentgroup.Deps{Log: a.log, Registerer: a.deps.registry, Listener: a.gossip}
	if a.group, err = agentgroup.Join(ctx, config, a.member(a.grant), a.grant.Seeds, a.grant.GossipKey, deps); err != nil {
		return err
	}
	a.rekey(life, a.grant.Keys)
	a.topics, err = broker.NewTopicCache(broker.DefaultTopics(), a.client)
	return err
}

// run keeps a part of the agent going until its life ends; a part that ends before ends the agent.
func (a *agent) run(life context.Context, what string, part func(context.Context) error) {
	a.running.Go(func() {
		err := part(life)
		if life.Err() == nil && err != nil {
			select {
			case a.failed <- fmt.Errorf("%s: %w", what, err):
			default: // another failure ends the agent already
			}
		}
	})
}

// serve opens the door for clients, and only then starts the loops behind it.
func (a *agent) serve(_, life context.Context) (err error) {
	apis, err := a.apis()
	if err != nil {
		return err
	}
	config := a.config.Wire
	if a.server, err = wire.NewServer(config, wire.Deps{Log: a.log, Registerer: a.deps.registry, Poison: a.deps.poison}, apis); err != nil {
		return err
	}
	a.limit(a.grant.Quota, a.grant.Agents)
	a.run(life, "keep the session", a.membership.Run)
	if a.producer != nil {
		a.run(life, "produce", a.producer.Run)
	}
	if a.fetcher != nil {
		a.run(life, "follow the index", a.fetcher.Run)
		a.chunks = a.fetcher.PeerServer()
		a.run(life, "serve agents of the group", func(context.Context) error { return a.chunks.Serve(a.peers) })
	}
	a.run(life, "serve Kafka clients", func(context.Context) error {
		if err := a.server.Serve(a.kafka); !errors.Is(err, wire.ErrStopped) {
			return err
		}
		return nil
	})
	return nil
}

// stop ends an agent so that its clients notice as little as possible: it is no longer
// advertised, stores and answers what it has taken, and closes.
func (a *agent) stop(ctx context.Context) error {
	a.waitsFor("stopping")
	if err := a.group.Leave(ctx); err != nil {
		// The last of a group has nobody to tell; others will notice the silence.
		a.log.Info("nobody heard the goodbye to the group", "error", err)
	}
	var faults []error
	if a.producer != nil {
		faults = append(faults, a.producer.Drain(ctx))
	}
	faults = append(faults, a.server.Drain(ctx))
	goodbye, cancel := context.WithTimeout(ctx, goodbyeTimeout)
	defer cancel()
	if err := a.membership.Report(goodbye); err != nil {
		a.log.Info("the control plane could not be told what was served last", "error", err)
	}
	// Not by way of the membership, which would log in again.
	if err := a.client.EndSession(goodbye, a.session.Load()); err != nil {
		a.log.Info("the session could not be ended, its lease will lapse", "error", err)
	}
	a.close()
	return errors.Join(faults...)
}

// kill ends an agent as kill -9 would end its process: nothing is finished, nobody is told.
func (a *agent) kill() { a.close() }

func (a *agent) close() {
	a.cancel()
	if a.server != nil {
		a.server.Close()
	}
	if a.chunks != nil {
		a.chunks.Close()
	}
	if a.fetcher != nil {
		a.fetcher.Close()
	}
	if a.kafka != nil {
		_ = a.kafka.Close() // the server has closed it, if there was one
	}
	if a.peers != nil {
		_ = a.peers.Close() // likewise
	}
	if a.group != nil {
		if err := a.group.Close(); err != nil {
			a.log.Warn("close gossip", "error", err)
		}
	} else if a.gossip != nil {
		a.gossip.Close()
	}
	a.running.Wait()
	if a.client != nil {
		if err := a.client.Close(); err != nil {
			a.log.Warn("close the connection to the control plane", "error", err)
		}
	}
	if a.stores != nil {
		a.stores.close()
	}
	if a.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := a.http.Close(ctx); err != nil {
			a.log.Warn("close the HTTP address", "error", err)
		}
	}
}

// advertised is the address that clients are told.
func (a *agent) advertised() string {
	if a.config.Advertise != "" {
		return a.config.Advertise
	}
	address, ok := a.kafka.Addr().(*net.TCPAddr)
	if !ok || !address.IP.IsUnspecified() {
		return a.kafka.Addr().String()
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return net.JoinHostPort(host, strconv.Itoa(address.Port))
}

func (a *agent) httpAddr() string {
	if a.http == nil {
		return ""
	}
	return a.http.Addr()
}
