package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/authority"
	"github.com/isthmusdata/isthmus/control/awake"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/hub"
	"github.com/isthmusdata/isthmus/control/raft"
	"github.com/isthmusdata/isthmus/control/tally"
	"github.com/isthmusdata/isthmus/control/tunnel"
	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// service answers the calls. The node's log and the hub are the two things it moves.
type service struct {
	controlpb.UnimplementedSequencerServiceServer
	controlpb.UnimplementedIndexServiceServer
	controlpb.UnimplementedMembershipServiceServer
	controlpb.UnimplementedTunnelServiceServer
	controlpb.UnimplementedWallsServiceServer
	controlpb.UnimplementedStatusServiceServer
	controlpb.UnimplementedAuthServiceServer

	config Config
	log    *slog.Logger
	m      *metrics
	node   *raft.Node
	tunnel *tunnel.Tunnel
	hub    *hub.Hub
	walls  news   // told whenever the walls have changed
	raised uint64 // the walls as they were last told of; of applied alone
	leases *leases
	awake  *awake.Clock     // of the leases; ticks look at it
	clock  func() time.Time // the wall clock
	born   time.Time
	seeds  atomic.Pointer[map[string][]string] // gossip addresses of live agents, by group

	authority      *authority.Authority
	authenticators []identity.Authenticator
	local          bool // some listener is reached from this machine alone
	rotation       rotation

	tally   tally.Tally
	meters  meters
	audited time.Duration // when the audit was last written; of ticks alone

	term     atomic.Pointer[term] // nil: calls that need the leader are refused
	stopping context.Context      // ends when streams must end
}

// term is one leadership, from the moment this node is set up to serve it.
type term struct {
	ctx    context.Context
	nonces *authority.Nonces
}

// leading returns the term that this node leads and serves.
func (s *service) leading() (*term, error) {
	t := s.term.Load()
	if t == nil {
		if err := s.node.Err(); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("node %s: %w", s.node.Identity().Node, raft.ErrNotLeader)
	}
	return t, nil
}

// applied hears of every command, under the state's lock.
func (s *service) applied(st *control.State, r control.Result) {
	if s.term.Load() != nil { // not while the log is replayed
		s.m.placed(r.Events)
		s.tallyPlaced(st, r)
	}
	s.hub.Publish(r.Events)
	if now := st.Walls(); now != s.raised {
		s.raised = now
		s.walls.tell()
	}
}

// lead serves one term until ctx ends. It is called once the term's barrier is applied.
func (s *service) lead(ctx context.Context) {
	var live []uint64
	s.node.Peek(func(st *control.State) {
		st.EachSession(func(x control.Session) bool {
			if !x.Ended {
				live = append(live, x.ID)
			}
			return true
		})
	})
	s.leases.reset(live, s.now())
	if err := s.setUp(ctx); err != nil {
		if ctx.Err() == nil && !errors.Is(err, raft.ErrNotLeader) {
			s.node.Fail(err)
		}
		return
	}
	s.gatherSeeds()
	nonces, err := authority.NewNonces(func() time.Duration { return time.Since(s.born) })
	if err != nil {
		s.node.Fail(err)
		return
	}
	s.rotation.forget()
	s.term.Store(&term{ctx, nonces})
	s.sayOpen()
	s.ticks(ctx)
	s.term.Store(nil)
	s.tunnel.Resigned()
}

// setUp makes what every cluster has, and the coordinator.
func (s *service) setUp(ctx context.Context) error {
	if err := s.ensureShare(ctx); err != nil {
		return err
	}
	if err := s.tunnel.Elected(ctx); err != nil {
		return fmt.Errorf("take consumer groups up: %w", err)
	}
	return nil
}

// ensureShare creates the default share. A share's bucket is its own for good: its objects lie there.
func (s *service) ensureShare(ctx context.Context) error {
	found := ""
	s.node.Peek(func(st *control.State) {
		st.EachShare(func(name, bucket string) bool {
			if name == topic.DefaultShare {
				found = bucket
			}
			return true
		})
	})
	switch found {
	case s.config.BucketURL:
		return nil
	case "":
	default:
		return fmt.Errorf("share %q lies in bucket %s, not in %s: start with --bucket %s, or name another data directory and bucket prefix for another cluster", topic.DefaultShare, found, s.config.BucketURL, found)
	}
	results, err := s.node.Propose(ctx, &controlpb.Command{Op: &controlpb.Command_CreateShare{
		CreateShare: &controlpb.CreateShareCommand{Share: &controlpb.Share{Name: topic.DefaultShare, Bucket: s.config.BucketURL}},
	}})
	if err != nil {
		return fmt.Errorf("create share %q: %w", topic.DefaultShare, err)
	}
	if results[0].Code != 0 {
		return fmt.Errorf("create share %q in bucket %s: refused with code %d (a name has letters, digits, . _ and -, a bucket URL at most 512 characters)", topic.DefaultShare, s.config.BucketURL, results[0].Code)
	}
	return nil
}

// now is the clock of leases. An agent whose heartbeats this process could not hear has not been silent.
func (s *service) now() time.Duration { return s.awake.Now() }
