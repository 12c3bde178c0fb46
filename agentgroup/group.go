package agentgroup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// maxSeeds bounds how many seeds are tried at once.
const maxSeeds = 16

// Deps are what a group needs from its process. All but Log may be left out.
type Deps struct {
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Listener is the port taken before login; without it Join takes the one configured.
	Listener *Listener
	// OnChange is called after the members or what they say of themselves have changed. It must
	// not block, nor call the Group's methods other than Members, Self, Leader and Owner.
	OnChange func()
}

// Group is this agent's membership. Its methods may be called concurrently.
type Group struct {
	cfg      Config
	log      *slog.Logger
	start    time.Time
	onChange func()
	metrics  *metrics
	keys     *memberlist.Keyring
	ml       *memberlist.Memberlist
	settle   *time.Timer

	// ring is what readers see; it is replaced, never changed, under mu.
	ring atomic.Pointer[Ring]

	// mu is taken inside memberlist's own lock, so that nothing of memberlist may be called
	// while it is held.
	mu    sync.Mutex
	self  Member
	known map[string]Member // by agent: who lives, as gossip says, this agent included
	// refused are those of them whose process did not listen when it was last looked at: see Check.
	refused map[string]bool

	checking sync.Mutex    // held while looking; taken before mu
	checked  time.Duration // when it was last looked, under checking

	keying    sync.Mutex // held while the keys change
	reseeding atomic.Bool
	left      atomic.Bool    // set by Leave and Close: nothing is joined or announced any more
	work      sync.WaitGroup // grows only while left is not set, under mu
}

// Join makes the agent a member of its group: it gossips self under the group's key (16, 24
// or 32 bytes) and tries the seeds. Having reached none is no error (the first agent of a group
// has none, and Reseed tries again), a fault of the configuration or of the port is.
func Join(ctx context.Context, cfg Config, self Member, seeds []string, key []byte, deps Deps) (*Group, error) {
	self = self.normal()
	if err := errors.Join(cfg.Validate(), checkSelf(self)); err != nil {
		return nil, fmt.Errorf("join group %s: %w", cfg.Group, err)
	}
	log := deps.Log.With("group", cfg.Group)
	l := deps.Listener
	if l == nil {
		var err error
		if l, err = Listen(cfg, log); err != nil {
			return nil, fmt.Errorf("join group %s: %w", cfg.Group, err)
		}
	}
	g := &Group{cfg: cfg, log: log, start: time.Now(), onChange: deps.OnChange, known: make(map[string]Member)}
	g.ring.Store(NewRing(cfg.Settle))
	self.Gossip, self.Settled = l.Address(), cfg.Settle == 0
	g.self = self
	if err := g.open(l, key, deps.Registerer); err != nil {
		l.Close()
		return nil, fmt.Errorf("join group %s: %w", cfg.Group, err)
	}
	reached := g.joinAll(ctx, seeds)
	g.log.Info("joined the group", "gossip", self.Gossip, "seeds", len(seeds), "reached", reached, "members", len(g.Members()))
	if !self.Settled {
		g.mu.Lock()
		g.settle = time.AfterFunc(cfg.Settle, g.settled)
		g.mu.Unlock()
	}
	return g, nil
}

func (g *Group) open(l *Listener, key []byte, reg prometheus.Registerer) (err error) {
	if len(key) == 0 {
		return errors.New("no gossip key: a group is never joined in clear")
	}
	if g.keys, err = memberlist.NewKeyring(nil, key); err != nil {
		return fmt.Errorf("gossip key of %d bytes: %w", len(key), err)
	}
	if err := l.take(); err != nil {
		return err
	}
	g.metrics = newMetrics()
	if g.ml, err = memberlist.Create(g.memberlistConfig(l)); err != nil {
		return errors.Join(err, l.transport.Shutdown())
	}
	if err := g.metrics.register(reg, g); err != nil {
		return errors.Join(err, g.ml.Shutdown())
	}
	return nil
}

func (g *Group) memberlistConfig(l *Listener) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name = g.self.Agent
	c.Label = g.label()
	c.Transport = l.transport
	c.BindPort, c.AdvertiseAddr, c.AdvertisePort = l.port, l.ip.String(), l.port
	c.TCPTimeout = g.cfg.JoinTimeout
	c.ProbeInterval, c.ProbeTimeout = g.cfg.ProbeInterval, g.cfg.ProbeTimeout
	c.SuspicionMult = g.cfg.SuspicionMult
	// Waiting longer for others to confirm a suspicion would break the promise of 2 s; a
	// member declared dead in error refutes it within a gossip round.
	c.SuspicionMaxTimeoutMult = 1
	c.AwarenessMaxMultiplier = 4
	c.GossipInterval, c.PushPullInterval = g.cfg.GossipInterval, g.cfg.SyncInterval
	c.EnableCompression = false // metas are small, and compressed they would not be smaller
	c.Keyring = g.keys
	d := delegate{g}
	c.Delegate, c.Events, c.Alive, c.Conflict = d, d, d, d
	c.Logger = bridge(g.log)
	return c
}

// label keeps strangers out: what arrives without it is dropped.
func (g *Group) label() string { return g.cfg.Cluster + "/" + g.cfg.Group }

// Self is this agent as it gossips itself; after Leave it is no longer among the Members.
func (g *Group) Self() Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.self
}

// Members are the living members of the group, one for each node id, in the order of node ids.
// The slice is shared and never changed.
func (g *Group) Members() []Member { return g.ring.Load().Members() }

// Leader is the member with the role that clients in the zone should turn to: see Ring.
func (g *Group) Leader(p topic.Partition, zone, role string) (Member, bool) {
	return g.ring.Load().Leader(time.Since(g.start), p, zone, role)
}

// Owner is the chunk server that holds the chunk for this agent's zone, or self: also when
// there is none, for then everyone reads for itself.
func (g *Group) Owner(chunk string) (addr string, self bool) {
	me := g.Self()
	owner, ok := g.ring.Load().Owner(time.Since(g.start), chunk, me.Zone)
	if !ok || owner.Agent == me.Agent {
		return me.Peer, true
	}
	return owner.Peer, false
}

// Update gossips what has changed about this agent: a new session, a new address. Agent and
// gossip address stay.
func (g *Group) Update(self Member) error {
	g.mu.Lock()
	self.Agent, self.Gossip, self.Settled, self.Cut = g.self.Agent, g.self.Gossip, g.self.Settled, g.self.Cut
	self = self.normal()
	err := checkSelf(self)
	if err == nil {
		g.self = self
	}
	g.mu.Unlock()
	if err != nil {
		return fmt.Errorf("update member %s: %w", self.Agent, err)
	}
	return g.announce()
}

// SetCut gossips whether this agent is cut off from the control plane.
func (g *Group) SetCut(cut bool) error {
	g.mu.Lock()
	g.self.Cut = cut
	g.mu.Unlock()
	return g.announce()
}

// cutOff counts the members that say they are.
func (g *Group) cutOff() (n int) {
	for _, m := range g.Members() {
		if m.Cut {
			n++
		}
	}
	return n
}

// PassedOver reports whether this agent is cut off and others lead in its place, in all its roles.
func (g *Group) PassedOver() bool {
	me, ring := g.Self(), g.ring.Load()
	for _, role := range me.Roles {
		if !ring.passesOver(role) {
			return false
		}
	}
	return me.Cut
}

// Coordinator is the member that clients of consumer groups should turn to when they have asked this one.
func (g *Group) Coordinator() Member { return g.ring.Load().Coordinator(g.Self()) }

// announce gossips the meta; it returns once a member has been told, or there is none.
func (g *Group) announce() error {
	if g.left.Load() {
		return nil
	}
	if err := g.ml.UpdateNode(g.cfg.LeaveTimeout); err != nil {
		return fmt.Errorf("announce member: %w", err)
	}
	return nil
}

// settled is called once, after the settling time.
func (g *Group) settled() {
	g.mu.Lock()
	g.self.Settled = true
	g.mu.Unlock()
	if err := g.announce(); err != nil {
		// The next sync tells it: memberlist holds the new meta already.
		g.log.Debug("settled, but nobody was told yet", "error", err)
	}
}

// SetKeys changes the group's gossip key in two phases: first every member learns the new key
// as one of others, then it becomes the primary, and at last the old one is left out.
func (g *Group) SetKeys(primary []byte, others ...[]byte) error {
	g.keying.Lock()
	defer g.keying.Unlock()
	keep := append([][]byte{primary}, others...)
	for _, k := range keep {
		if err := g.keys.AddKey(k); err != nil {
			return fmt.Errorf("add gossip key: %w", err)
		}
	}
	if err := g.keys.UseKey(primary); err != nil {
		return fmt.Errorf("use gossip key: %w", err)
	}
	kept := func(k []byte) bool {
		return slices.ContainsFunc(keep, func(x []byte) bool { return bytes.Equal(x, k) })
	}
	// A keyring closes the gap of a removed key in the very slice that whoever decrypts is reading. So keys go from the
	// end, which leaves no gap, and those that were in the way come back.
	ring := slices.Clone(g.keys.GetKeys())
	first := slices.IndexFunc(ring, func(k []byte) bool { return !kept(k) })
	if first < 0 {
		return nil
	}
	for _, k := range slices.Backward(ring[first:]) {
		if err := g.keys.RemoveKey(k); err != nil {
			return fmt.Errorf("remove gossip key: %w", err)
		}
	}
	for _, k := range ring[first:] {
		if kept(k) {
			if err := g.keys.AddKey(k); err != nil {
				return fmt.Errorf("add gossip key: %w", err)
			}
		}
	}
	return nil
}

// Reseed is told the gossip addresses the control plane believes alive, and joins through those
// that are not members here: neighbours lost to a partition, or a group that came up apart. It
// returns at once; while an attempt is under way it does nothing.
func (g *Group) Reseed(seeds []string) {
	lost := g.lost(seeds)
	if len(lost) == 0 || !g.reseeding.CompareAndSwap(false, true) {
		return
	}
	started := g.spawn(func() {
		defer g.reseeding.Store(false)
		reached := g.joinAll(context.Background(), lost)
		g.log.Info("joined through lost neighbours", "seeds", len(lost), "reached", reached, "members", len(g.Members()))
	})
	if !started {
		g.reseeding.Store(false)
	}
}

// spawn runs f beside, unless the group is being left.
func (g *Group) spawn(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left.Load() {
		return false
	}
	g.work.Go(f)
	return true
}

// lost are the seeds that are neither this agent nor a member.
func (g *Group) lost(seeds []string) []string {
	here := map[string]bool{g.Self().Gossip: true}
	for _, m := range g.Members() {
		here[m.Gossip] = true
	}
	var lost []string
	for _, s := range seeds {
		if !here[s] && len(lost) < maxSeeds {
			here[s] = true
			lost = append(lost, s)
		}
	}
	return lost
}

// joinAll tries all seeds at once and counts those reached before ctx or the timeout ends;
// attempts that are still under way then go on.
func (g *Group) joinAll(ctx context.Context, seeds []string) (reached int) {
	seeds = g.lost(seeds)
	ctx, cancel := context.WithTimeout(ctx, g.cfg.JoinTimeout)
	defer cancel()
	results := make(chan error, len(seeds))
	started := 0
	for _, seed := range seeds {
		if g.spawn(func() {
			_, err := g.ml.Join([]string{seed})
			results <- err
		}) {
			started++
		}
	}
	for range started {
		select {
		case err := <-results:
			if err != nil {
				g.metrics.joins.WithLabelValues("failed").Inc()
				g.log.Debug("seed not reached", "error", err)
				continue
			}
			g.metrics.joins.WithLabelValues("ok").Inc()
			reached++
		case <-ctx.Done():
			return reached
		}
	}
	return reached
}

// Leave says goodbye, so that the others drop this agent at once, and returns when one of them
// has been told. The agent goes on listening, for others may still ask it; Close ends that.
func (g *Group) Leave(ctx context.Context) error {
	timeout := g.cfg.LeaveTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Millisecond, min(timeout, time.Until(deadline)))
	}
	if g.stop() {
		return nil
	}
	if err := g.ml.Leave(timeout); err != nil {
		return fmt.Errorf("leave group %s: %w", g.cfg.Group, err)
	}
	return nil
}

// Close stops gossip and gives the port back. Without a Leave before, the others find out as
// they would of a crash.
func (g *Group) Close() error {
	g.stop()
	err := g.ml.Shutdown()
	g.work.Wait()
	return err
}

// stop ends all that the group does of itself, and reports whether that had been done before.
func (g *Group) stop() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.settle != nil {
		g.settle.Stop()
	}
	return g.left.Swap(true)
}
