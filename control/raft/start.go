package raft

import (
	"context"
	"errors"
	"fmt"
	"os"

	hraft "github.com/hashicorp/raft"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// bootstrap makes the node's claim and its log, in an order that a crash may interrupt anywhere:
// the cluster id is on disk before the bucket holds it, the bucket holds it before there is a log, and
// the directory is ready when all three are there. A directory that is ready makes nothing again.
func (n *Node) bootstrap(ctx context.Context) error {
	n.claim = &claim{
		store: n.deps.Store, key: segment.MetaKey(n.deps.Cluster, "cluster"),
		mine: n.identity, dir: n.dir.path, log: n.log,
	}
	if n.identity.Ready {
		if _, err := os.Stat(n.dir.logPath()); err != nil {
			return fmt.Errorf("data directory %s has lost its log: %w (restore the directory from a copy; a new log would give offsets twice)", n.dir.path, err)
		}
		return n.claim.hold(ctx)
	}
	return n.claim.take(ctx, n.deps.Wall())
}

// start opens the log, restores the newest snapshot and starts raft, which replays the rest.
func (n *Node) start() (err error) {
	if n.store, err = openLog(n.dir.logPath()); err != nil {
		return err
	}
	snapshots, err := hraft.NewFileSnapshotStoreWithLogger(n.dir.path, 2, raftLogger(n.log))
	if err != nil {
		return fmt.Errorf("open snapshots of %s: %w", n.dir.path, err)
	}
	n.machine = &machine{
		limits: n.config.Limits, applied: n.deps.Applied, restore: n.deps.Restored, fail: n.Fail, m: n.m, mono: n.mono,
		state: control.NewState(n.config.Limits),
	}
	if err := n.restore(snapshots); err != nil {
		return err
	}
	logs := &logStore{LogStore: n.store, path: n.dir.logPath(), fail: n.Fail, m: n.m}
	if n.config.wrapLog != nil {
		logs.LogStore = n.config.wrapLog(n.store)
	}
	votes := newVoteStore(n.store, n.dir.logPath(), n.Fail)
	address, transport := hraft.NewInmemTransport(hraft.ServerAddress(n.config.NodeID))
	config := n.raftConfig()
	if !n.identity.Ready {
		if err := n.firstLog(config, logs, votes, snapshots, transport, address); err != nil {
			return err
		}
	}
	if n.turns, err = newTurns(n.claim, n.store, n.dir); err != nil {
		return err
	}
	return n.newRaft(config, logs, votes, snapshots, transport)
}

// firstLog writes the log's first entry: who votes.
func (n *Node) firstLog(c *hraft.Config, logs hraft.LogStore, votes hraft.StableStore, snapshots hraft.SnapshotStore, t hraft.Transport, address hraft.ServerAddress) error {
	voters := hraft.Configuration{Servers: []hraft.Server{{ID: c.LocalID, Address: address}}}
	err := hraft.BootstrapCluster(c, logs, votes, snapshots, t, voters)
	if err != nil && !errors.Is(err, hraft.ErrCantBootstrap) { // it had been written before a crash
		return fmt.Errorf("write first entry of %s: %w", n.dir.logPath(), err)
	}
	if err := n.dir.sync(); err != nil {
		return err
	}
	n.identity.Ready = true
	if err := n.dir.store(n.identity); err != nil {
		return err
	}
	n.claim.mine = n.identity
	n.log.Info("cluster is created", "cluster", n.identity.Cluster, "id", n.identity.ClusterID, "object", n.claim.key)
	return nil
}

// newRaft starts raft; it turns raft's panic over an unwritable term into an error.
func (n *Node) newRaft(c *hraft.Config, logs *logStore, votes *voteStore, snapshots hraft.SnapshotStore, t hraft.Transport) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("start from data directory %s: %v", n.dir.path, p)
		}
	}()
	votes.armAfter(1) // NewRaft stores the term it has read, before it has goroutines
	n.raft, err = hraft.NewRaft(c, n.machine, logs, votes, snapshots, t)
	if err != nil {
		return fmt.Errorf("start from data directory %s: %w", n.dir.path, err)
	}
	return nil
}

// raftConfig: raft takes no snapshots by itself, for it counts entries, and ours differ in size a
// thousandfold; the node asks for them by bytes and by age.
func (n *Node) raftConfig() *hraft.Config {
	c := hraft.DefaultConfig()
	c.LocalID = hraft.ServerID(n.config.NodeID)
	c.Logger = raftLogger(n.log)
	c.HeartbeatTimeout = n.config.ElectionTimeout
	c.ElectionTimeout = n.config.ElectionTimeout
	c.LeaderLeaseTimeout = n.config.ElectionTimeout
	c.TrailingLogs = n.config.TrailingEntries
	c.SnapshotThreshold = 1 << 62
	c.NoSnapshotRestoreOnStart = true // restore does it, and says what is wrong
	c.NoLegacyTelemetry = true
	return c
}

// restore reads the newest snapshot, the one that raft will go on from.
func (n *Node) restore(snapshots hraft.SnapshotStore) error {
	list, err := snapshots.List()
	if err != nil {
		return fmt.Errorf("list snapshots of %s: %w", n.dir.path, err)
	}
	at := uint64(0)
	if len(list) > 0 {
		at = list[0].Index
		_, r, err := snapshots.Open(list[0].ID)
		if err == nil {
			err = n.machine.Restore(r)
		}
		if err != nil {
			return fmt.Errorf("restore snapshot %s of data directory %s: %w (restore the directory from a copy)", list[0].ID, n.dir.path, err)
		}
		n.machine.index.Store(at)
	}
	return contiguous(n.store, at, n.dir.path)
}
