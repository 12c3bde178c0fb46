package raft

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/isthmusdata/isthmus/control"
)

// Config is how a node keeps its log.
type Config struct {
	// Dir is the data directory; it is made if its parent exists.
	Dir string
	// NodeID names the node among its peers, for good.
	NodeID string
	// Peers are the other voters. None for now: a data directory cannot join a cluster that another one made.
	Peers []string
	// EntryBytes bounds an entry of the log.
	EntryBytes int
	// InFlight bounds the entries that are proposed and not yet applied.
	InFlight int
	// QueueBytes bounds the proposals that wait for an entry.
	QueueBytes int
	// SnapshotBytes of log since the last snapshot, and as many as it has, start the next one.
	SnapshotBytes int64
	// SnapshotAge of the oldest applied entry that no snapshot holds starts one as well.
	SnapshotAge time.Duration
	// TrailingEntries stay in the log behind a snapshot.
	TrailingEntries uint64
	// ElectionTimeout is how long a node waits for a leader before it stands itself.
	ElectionTimeout time.Duration
	// TurnLook is how old a leader's last look whether another one has taken the next turn may be before it
	// looks again; it writes nothing when that is twice as old.
	TurnLook time.Duration
	// ClockJump is the difference between wall clock and state time that an election accepts unconfirmed.
	ClockJump time.Duration
	// Limits bound the state; Open fills in their Meta. They are the cluster's once this node leads.
	Limits control.Limits

	wrapLog func(hraft.LogStore) hraft.LogStore // lets a test fill the disk
}

// Default returns the configuration of a single voter; Dir is the caller's.
func Default() Config {
	return Config{
		NodeID:          "1",
		EntryBytes:      512 << 10,
		InFlight:        8,
		QueueBytes:      64 << 20,
		SnapshotBytes:   64 << 20,
		SnapshotAge:     10 * time.Minute,
		TrailingEntries: 128,
		ElectionTimeout: 100 * time.Millisecond,
		TurnLook:        10 * time.Second,
		ClockJump:       time.Minute,
		Limits:          control.Default(),
	}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(c.Dir == "", "data directory is not named: give one with --data-dir")
	fault(c.Dir != "" && filepath.Clean(c.Dir) == "/", "data directory is /: give one of its own with --data-dir")
	fault(c.NodeID == "", "node id is empty: give one with --id")
	fault(len(c.Peers) > 0, "peers %v: several voters are not served yet, for a data directory cannot join a cluster that another one made; leave out --peers to run one", c.Peers)
	fault(c.EntryBytes < 64<<10 || c.EntryBytes > 4<<20, "entry size %d B is outside 64 KiB to 4 MiB", c.EntryBytes)
	fault(c.InFlight < 1 || c.InFlight > 64, "entries in flight %d is outside 1 to 64", c.InFlight)
	fault(c.QueueBytes < c.EntryBytes, "queue of %d B holds no entry of %d B", c.QueueBytes, c.EntryBytes)
	fault(c.SnapshotBytes < 1, "snapshot after %d B of log is not positive", c.SnapshotBytes)
	fault(c.SnapshotAge < time.Second, "snapshot after %s is below 1s", c.SnapshotAge)
	fault(c.ElectionTimeout < 10*time.Millisecond, "election timeout %s is below 10ms", c.ElectionTimeout)
	fault(c.TurnLook < 10*time.Millisecond, "look for another leader after %s is below 10ms", c.TurnLook)
	fault(c.ClockJump < time.Second, "clock jump %s is below 1s", c.ClockJump)
	return errors.Join(faults...)
}
