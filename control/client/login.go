package client

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// LoginRequest is who an agent says it is.
type LoginRequest struct {
	Agent         string // drawn at its start; the same for its whole life
	Group         string
	Roles         []string
	Zone          string
	KafkaAddress  string // advertised host:port
	GossipAddress string // host:port
	PeerAddress   string // host:port of the chunk server; empty without the fetch role
	Version       string
}

// Grant is what a login gives.
type Grant struct {
	Session     uint64
	Incarnation uint32
	Cluster     string // the first part of every key
	ClusterID   string // what Metadata shows
	NodeID      int32  // the same for every session of this agent
	Lease       time.Duration
	Heartbeat   time.Duration
	GossipKey   []byte // 32 bytes, of the own group alone: the first of Keys
	Keys        Keys
	Seeds       []string
	Shares      []Share // those that the group was granted, with roles of the own group alone
	Quota       Quota   // of the own group
	Agents      int32   // of the group, that share the quota
}

// Beat answers a heartbeat.
type Beat struct {
	Ended  bool
	Seeds  []string
	Shares []Share // as they are now
	Quota  Quota
	Agents int32
	Walls  uint64 // rises with every change of the walls
	Keys   *Keys  // nil: the epoch that was said is the last
}

// Keys are those of a group's gossip. A new one is first known by all, then used, and only then is the old one
// forgotten.
type Keys struct {
	Epoch            uint64   // rises with every change
	Keys             [][]byte // 32 bytes each; the first encrypts, all decrypt
	LeastCertificate uint64   // neighbours' certificates of an epoch below are refused
}

func keysOf(k *controlpb.GossipKeys) *Keys {
	if k == nil || len(k.GetKeys()) == 0 {
		return nil
	}
	return &Keys{k.GetEpoch(), k.GetKeys(), k.GetLeastCertificate()}
}

// Login gets a session and makes it the one that later calls name. A login whose answer is lost
// leaves a session behind that nobody keeps; it ends by itself.
func (c *Client) Login(ctx context.Context, r LoginRequest) (Grant, error) {
	var got *controlpb.LoginResponse
	err := c.do(ctx, "Login", always, func(ctx context.Context, n node, trailer *metadata.MD) (err error) {
		got, err = controlpb.NewMembershipServiceClient(n.conn).Login(ctx, &controlpb.LoginRequest{
			Agent: r.Agent, Group: r.Group, Roles: r.Roles, Zone: r.Zone, KafkaAddress: r.KafkaAddress,
			GossipAddress: r.GossipAddress, PeerAddress: r.PeerAddress, Version: r.Version,
		}, grpc.Trailer(trailer))
		return err
	})
	if err != nil {
		return Grant{}, fmt.Errorf("log in as agent %s of group %s: %w", r.Agent, r.Group, err)
	}
	g := Grant{
		Session: got.GetSession(), Incarnation: got.GetIncarnation(), Cluster: got.GetCluster(), ClusterID: got.GetClusterId(),
		NodeID: got.GetNodeId(), Lease: time.Duration(got.GetLeaseMs()) * time.Millisecond,
		Heartbeat: time.Duration(got.GetHeartbeatMs()) * time.Millisecond, GossipKey: got.GetGossipKey(), Seeds: got.GetSeeds(),
		Shares: shares(got.GetShares()), Quota: quotaOf(got.GetQuota()), Agents: got.GetAgents(),
	}
	if keys := keysOf(got.GetKeys()); keys != nil {
		g.Keys = *keys
	} else {
		g.Keys.Keys = [][]byte{g.GossipKey}
	}
	if g.Session == 0 || g.Heartbeat <= 0 || g.Lease <= 0 {
		return Grant{}, fmt.Errorf("log in as agent %s of group %s: %w: the answer names session %d, heartbeat %s, lease %s", r.Agent, r.Group, ErrInternal, g.Session, g.Heartbeat, g.Lease)
	}
	c.session.Store(g.Session)
	return g, nil
}

// Usage is what an agent has served of a topic.
type Usage struct {
	Topic          topic.ID
	Bytes, Records int64
}

// Heartbeat keeps a session alive, or learns that it has ended. It says which epoch of the group's keys the agent is
// ready for.
func (c *Client) Heartbeat(ctx context.Context, session, epoch uint64, served ...Usage) (Beat, error) {
	return c.heartbeat(ctx, session, epoch, served, nil)
}

func (c *Client) heartbeat(ctx context.Context, session, epoch uint64, served []Usage, metered []*controlpb.ShareMeter) (Beat, error) {
	request := &controlpb.HeartbeatRequest{Session: session, KeysEpoch: epoch, Metered: metered}
	for _, u := range served {
		request.Fetched = append(request.Fetched, &controlpb.Usage{TopicId: u.Topic[:], Bytes: u.Bytes, Records: u.Records})
	}
	var got *controlpb.HeartbeatResponse
	err := c.do(ctx, "Heartbeat", always, func(ctx context.Context, n node, trailer *metadata.MD) (err error) {
		got, err = controlpb.NewMembershipServiceClient(n.conn).Heartbeat(ctx, request, grpc.Trailer(trailer))
		return err
	})
	if err != nil {
		return Beat{}, fmt.Errorf("keep session %d: %w", session, err)
	}
	return Beat{
		Ended: got.GetEnded(), Seeds: got.GetSeeds(), Shares: shares(got.GetShares()), Quota: quotaOf(got.GetQuota()),
		Agents: got.GetAgents(), Walls: got.GetWalls(), Keys: keysOf(got.GetKeys()),
	}, nil
}

// EndSession ends a session if it still lives. After it returns nil, a sequence of the session that
// is not committed never will be.
func (c *Client) EndSession(ctx context.Context, session uint64) error {
	err := c.do(ctx, "EndSession", always, func(ctx context.Context, n node, trailer *metadata.MD) error {
		_, err := controlpb.NewMembershipServiceClient(n.conn).EndSession(ctx, &controlpb.EndSessionRequest{Session: session}, grpc.Trailer(trailer))
		return err
	})
	if err != nil {
		return fmt.Errorf("end session %d: %w", session, err)
	}
	return nil
}
