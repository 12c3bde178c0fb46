package raft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"
	boltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/statetime"
)

// Deps are what a node asks of its surroundings.
type Deps struct {
	// Cluster names the cluster; its objects in Store begin with it.
	Cluster string
	// Store is the bucket; the node reads and writes below <cluster>/meta/ alone.
	Store Claims
	// Applied is called with the result of every command, in order, and the state that it has left, which is locked.
	Applied func(*control.State, control.Result)
	// Restored is called when the state was replaced as a whole, while it is locked.
	Restored func()
	// Elected is called when the node leads and its term barrier is applied. It returns soon; ctx ends
	// with the term.
	Elected func(ctx context.Context)
	// SecondClock confirms the wall clock at an election; nil asks the Store, if it has a clock.
	SecondClock SecondClock
	// Wall is the wall clock; nil is time.Now.
	Wall       func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Node is one voter.
type Node struct {
	config   Config
	deps     Deps
	log      *slog.Logger
	m        *metrics
	dir      *dataDir
	identity Identity
	claim    *claim
	turns    *turns
	rivals   *rivals
	store    *boltdb.BoltStore
	machine  *machine
	clock    *statetime.Clock
	proposer *proposer
	confirm  *confirmer
	raft     *hraft.Raft
	born     time.Time

	ledTerm atomic.Uint64 // the term whose barrier is applied here; 0: this node does not lead
	waiting atomic.Pointer[string]

	ctx     context.Context // of the node's goroutines
	cancel  context.CancelFunc
	workers sync.WaitGroup
	halted  chan struct{} // closed when raft's goroutines have ended
	once    sync.Once
	done    chan struct{}
	err     error // before done is closed; nil after Close
}

// Open locks the data directory, takes or checks the claim in the bucket, replays the log and
// starts to stand for election. It returns before the node leads: Ready says when.
func Open(ctx context.Context, c Config, d Deps) (*Node, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(d.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	n := &Node{config: c, deps: d, log: d.Logger, m: m, born: time.Now(), done: make(chan struct{}), halted: make(chan struct{})}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if n.deps.Wall == nil {
		n.deps.Wall = time.Now
	}
	if n.deps.SecondClock == nil {
		n.deps.SecondClock = bucketClock(d.Store)
	}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.release())
	}
	return n, nil
}

func (n *Node) open(ctx context.Context) (err error) {
	if n.dir, err = openDir(n.config.Dir); err != nil {
		return err
	}
	if n.identity, err = n.dir.identity(n.deps.Cluster, n.config.NodeID); err != nil {
		return err
	}
	n.config.Limits.Meta = control.Meta{Cluster: n.identity.Cluster, ClusterID: n.identity.ClusterID, Incarnation: n.identity.Incarnation}
	if err = n.config.Limits.Validate(); err != nil {
		return err
	}
	if err = n.bootstrap(ctx); err != nil {
		return err
	}
	n.clock = statetime.New(n.mono, n.deps.Wall)
	n.rivals = &rivals{every: n.config.TurnLook, now: n.mono, look: n.lookForRival, spawn: n.workers.Go}
	n.proposer = newProposer(n.config, n.clock, n.m, n.rivals.before, func(entry []byte) hraft.ApplyFuture { return n.raft.Apply(entry, 0) }, n.await)
	n.confirm = &confirmer{verify: n.verify}
	if err = n.start(); err != nil {
		return err
	}
	n.run()
	return nil
}

// mono is the node's monotonic clock.
func (n *Node) mono() time.Duration { return time.Since(n.born) }

// Identity says which cluster and node this is.
func (n *Node) Identity() Identity { return n.identity }

// Propose logs and applies commands together and returns one result a command.
func (n *Node) Propose(ctx context.Context, commands ...*controlpb.Command) ([]control.Result, error) {
	p, err := n.Enqueue(commands...)
	if err != nil {
		return nil, err
	}
	return p.Wait(ctx)
}

// Enqueue proposes without waiting. Commands are applied in the order in which they were enqueued.
func (n *Node) Enqueue(commands ...*controlpb.Command) (*Pending, error) {
	if err := n.Err(); err != nil {
		return nil, err
	}
	return n.proposer.enqueue(commands)
}

// Confirm returns nil when this node was certainly the leader at a moment after the call. What Peek
// reads from then on holds everything that was answered before Confirm was called.
func (n *Node) Confirm(ctx context.Context) error {
	n.m.reads.Inc()
	return n.confirm.confirm(ctx)
}

// View reads the state after a check that this node still leads: everything that was answered
// before View was called is in what read sees, and nothing it sees can be undone.
func (n *Node) View(ctx context.Context, read func(*control.State)) error {
	if err := n.Confirm(ctx); err != nil {
		return err
	}
	n.machine.read(read)
	return nil
}

// Peek reads the state as this node has it, which may be behind the leader's.
func (n *Node) Peek(read func(*control.State)) { n.machine.read(read) }

// Now is the leader's state time, Unix milliseconds.
func (n *Node) Now() int64 { return n.clock.Now() }

// Applied is the index of the last applied entry.
func (n *Node) Applied() uint64 { return n.machine.index.Load() }

// Ready returns nil while this node leads, or says what it waits for.
func (n *Node) Ready() error {
	if err := n.Err(); err != nil {
		return err
	}
	if n.ledTerm.Load() != 0 {
		return nil
	}
	if what := n.waiting.Load(); what != nil {
		return errors.New(*what)
	}
	return errors.New("waiting for an election")
}

// Done is closed when the node has failed or was closed.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err says why Done is closed; ErrStopped after Close.
func (n *Node) Err() error {
	select {
	case <-n.done:
		return n.err
	default:
		return nil
	}
}

// Fail ends the node because of err. It returns at once; whoever waits for Done then calls Close.
func (n *Node) Fail(err error) {
	n.once.Do(func() {
		n.err = fmt.Errorf("%w: %w", ErrStopped, err)
		n.log.Error("control node stops", "error", err)
		close(n.done)
		n.cancel()
	})
}

// Close stops the node and gives the data directory up.
func (n *Node) Close() error {
	n.once.Do(func() {
		n.err = ErrStopped
		close(n.done)
		n.cancel()
	})
	return n.release()
}

// release stops whatever open had started, in reverse.
func (n *Node) release() error {
	var faults []error
	n.cancel()
	n.workers.Wait()
	if n.store != nil {
		faults = append(faults, n.store.Close())
		n.store = nil
	}
	if n.dir != nil {
		faults = append(faults, n.dir.Close())
		n.dir = nil
	}
	return errors.Join(faults...)
}

// verify makes one leadership check for every read that waits for it.
func (n *Node) verify() error {
	n.m.checks.Inc()
	term := n.ledTerm.Load()
	if term == 0 {
		return n.notLeading()
	}
	if err := n.await(n.raft.VerifyLeader()); err != nil {
		return n.notLeading()
	}
	// Leadership may have been lost and won again: the barrier of the new term is not applied then.
	if n.raft.CurrentTerm() != term || n.ledTerm.Load() != term {
		return ErrNotLeader
	}
	return nil
}

func (n *Node) notLeading() error {
	if err := n.Err(); err != nil {
		return err
	}
	return ErrNotLeader
}
