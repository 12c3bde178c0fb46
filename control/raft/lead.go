package raft

import (
	"context"
	"errors"
	"fmt"
	"time"

	hraft "github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/statetime"
)

// run starts the node's goroutines; they end with Close or fail.
func (n *Node) run() {
	for _, work := range []func(context.Context){n.proposer.run, n.proposer.land, n.follow, n.snapshots, n.halt} {
		n.workers.Go(func() { work(n.ctx) })
	}
}

// halt stops raft as soon as the node has failed or is closed.
func (n *Node) halt(ctx context.Context) {
	<-ctx.Done()
	if err := n.raft.Shutdown().Error(); err != nil {
		n.log.Error("raft does not stop", "error", err)
	}
	close(n.halted)
}

// await waits for what raft was asked. raft may stop without answering what it had handed to the state.
func (n *Node) await(f hraft.Future) error {
	answered := make(chan error, 1)
	go func() { answered <- f.Error() }()
	select {
	case err := <-answered:
		return err
	case <-n.halted:
	}
	select {
	case err := <-answered:
		return err
	default:
		return errors.Join(hraft.ErrRaftShutdown, n.Err()) // the caller is told why, whichever was noticed first
	}
}

// follow leads whenever raft says so. A second "yes" is a new term: the "no" between was overwritten.
func (n *Node) follow(ctx context.Context) {
	stop := func() {}
	defer func() { stop() }()
	for {
		select {
		case <-ctx.Done():
			return
		case yes := <-n.raft.LeaderCh():
			stop()
			stop = func() {}
			if yes {
				stop = n.lead(ctx)
			}
		}
	}
}

// lead takes one term up in the background; the returned function ends it and waits for its end.
func (n *Node) lead(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.term(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// bucketPatience is how long a leader waits for the bucket to say whether it may go on.
const bucketPatience = 10 * time.Second

// term leads until ctx ends: first everything that stands in the log is applied, then the bucket is
// asked whether this node may still lead, and told that it does (I12), then the clock is judged, and the
// first command of the term says what came of it. Only then are proposals and reads let in.
func (n *Node) term(ctx context.Context) {
	term := n.raft.CurrentTerm()
	if err := n.takeOver(ctx, term); err != nil {
		if ctx.Err() == nil && !errors.Is(err, ErrNotLeader) {
			n.Fail(fmt.Errorf("lead in term %d: %w", term, err))
		}
		return
	}
	n.proposer.start(term)
	n.ledTerm.Store(term)
	n.m.leader.Set(1)
	n.log.Info("leading", "term", term, "cluster", n.identity.Cluster, "id", n.identity.ClusterID)
	n.deps.Elected(ctx)
	<-ctx.Done()
	n.m.leader.Set(0)
	n.ledTerm.Store(0)
	n.proposer.stop()
}

func (n *Node) takeOver(ctx context.Context, term uint64) error {
	n.wait("waiting for the log to be applied")
	if err := n.await(n.raft.Barrier(0)); err != nil {
		return ErrNotLeader
	}
	n.wait("waiting for the bucket to say whose it is: " + n.claim.key)
	if err := n.claim.insist(ctx); err != nil {
		return err
	}
	if err := n.takeTurn(ctx, term); err != nil {
		return err
	}
	n.wait("waiting for a second clock")
	frozen := n.judgeClock(ctx)
	n.wait("waiting for the first entry of the term")
	return n.elect(term, frozen)
}

// takeTurn takes the next turn. If this directory's last turn was taken elsewhere, whoever took it may lead
// still: it is given the time to notice.
func (n *Node) takeTurn(ctx context.Context, term uint64) error {
	n.wait("waiting for the bucket to take this leader's turn: " + n.turns.next())
	if err := n.turns.take(ctx, term, n.deps.Wall()); err != nil {
		return err
	}
	n.rivals.looked()
	if n.turns.moved() {
		pause := 2 * n.config.TurnLook
		what := fmt.Sprintf("waiting %s, for data directory %s has moved or the machine has started anew: whoever led from it before notices meanwhile", pause, n.dir.path)
		n.log.Warn(what)
		n.wait(what)
		if n.pause(ctx, pause); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return n.turns.settle()
}

// lookForRival looks in the bucket whether a copy of this directory has taken the next turn, and ends the node if so.
func (n *Node) lookForRival(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bucketPatience)
	defer cancel()
	return n.mayStillLead(n.turns.look(ctx))
}

// mayStillLead ends the node if the bucket says that another one leads. Whatever else it says may pass, and is
// returned.
func (n *Node) mayStillLead(err error) error {
	switch {
	case err == nil, n.ctx.Err() != nil:
	case mayPass(err):
		n.log.Warn("bucket could not be asked whether another node leads; this one goes on", "error", err)
	default:
		n.Fail(err)
	}
	return err
}

func (n *Node) wait(what string) { n.waiting.Store(&what) }

// judgeClock starts state time for this term.
func (n *Node) judgeClock(ctx context.Context) (frozen bool) {
	var last int64
	n.machine.read(func(s *control.State) { last = s.Time() })
	wall := n.deps.Wall().UnixMilli()
	start, frozen, why := statetime.Judge(last, wall, n.config.ClockJump, func() (time.Time, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return n.deps.SecondClock(ctx)
	})
	n.clock.Set(start)
	if frozen {
		n.log.Error("the clock is not trusted: nothing expires until it is confirmed (isthmus control confirm-clock)",
			"clock", time.UnixMilli(wall).UTC().Format(time.RFC3339),
			"state_time", time.UnixMilli(last).UTC().Format(time.RFC3339), "why", why)
	}
	return frozen
}

// elect proposes the first command of the term, past the proposer, which is closed as yet.
func (n *Node) elect(term uint64, frozen bool) error {
	entry, err := proto.Marshal(&controlpb.Entry{Term: term, Commands: []*controlpb.Command{{
		Time: n.clock.Now(),
		Op:   &controlpb.Command_Elect{Elect: &controlpb.ElectCommand{Term: term, Frozen: frozen, Limits: n.config.Limits.Proto()}},
	}}})
	if err != nil {
		return fmt.Errorf("encode first entry of term %d: %w", term, err)
	}
	if _, err := outcome(n.raft.Apply(entry, 0), n.await); errors.Is(err, ErrUnknownOutcome) {
		return ErrNotLeader // another term has begun, or the log has failed and said so itself
	} else if err != nil {
		return err
	}
	return nil
}

// snapshots takes one when enough of the log is behind the last, or when something has waited for one
// long enough. The bucket is asked first (I12).
func (n *Node) snapshots(ctx context.Context) {
	tick := time.NewTicker(n.config.SnapshotAge / 600)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !n.due(n.mono()) {
			continue
		}
		if err := n.Snapshot(ctx); err != nil && ctx.Err() == nil {
			n.log.Error("snapshot failed; the log grows until one succeeds", "dir", n.dir.path, "error", err)
			n.pause(ctx, n.config.SnapshotAge/60)
		}
	}
}

// due says whether a snapshot is, at now on the node's monotonic clock. As much log lies between two as the last one was
// large: a snapshot is the whole state, and a large one every 64 MiB of log would write many times what the log does.
// To replay that much log takes about as long as to read the snapshot.
func (n *Node) due(now time.Duration) bool {
	oldest := n.machine.pending.Load()
	return n.machine.bytes.Load() >= max(n.config.SnapshotBytes, n.machine.size.Load()) ||
		oldest != 0 && now-time.Duration(oldest) >= n.config.SnapshotAge
}

func (n *Node) pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Snapshot writes the state to disk now and shortens the log. A leader looks at the claim first and takes
// another turn (I12), so that a copy of its data directory made before lacks a turn of which the bucket knows.
func (n *Node) Snapshot(ctx context.Context) error {
	if err := n.confirmTurn(ctx); err != nil && !mayPass(err) {
		return err
	}
	start := time.Now()
	err := n.await(n.raft.Snapshot())
	if errors.Is(err, hraft.ErrNothingNewToSnapshot) {
		return nil
	}
	if err != nil {
		n.m.snapshots.WithLabelValues("failed").Inc()
		return fmt.Errorf("take snapshot in %s: %w", n.dir.path, err)
	}
	n.m.snapshots.WithLabelValues("ok").Inc()
	n.m.snapshot.Observe(time.Since(start).Seconds())
	return nil
}

func (n *Node) confirmTurn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bucketPatience)
	defer cancel()
	err := n.claim.look(ctx)
	if term := n.ledTerm.Load(); err == nil && term != 0 {
		err = n.turns.take(ctx, term, n.deps.Wall())
	}
	return n.mayStillLead(err)
}
