package client

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// Status describes the control plane.
type Status struct {
	Cluster      string
	ClusterID    string
	Incarnation  uint32
	Leader       string // node id; empty while there is none
	Applied      uint64 // index of the last applied entry of the node that answers
	Topics       int64
	Partitions   int64
	IndexEntries int64
	Segments     int64
	Producers    int64
	LiveBytes    int64
	ClockFrozen  bool
	Version      string
	Agents       []Agent
}

// Agent is one live agent.
type Agent struct {
	Agent        string
	Session      uint64
	Group        string
	Roles        []string
	Zone         string
	NodeID       int32
	KafkaAddress string
}

// Status asks one node how it stands; it answers whether or not it leads.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var got *controlpb.StatusResponse
	err := c.do(ctx, "Status", always, func(ctx context.Context, n node, trailer *metadata.MD) (err error) {
		got, err = controlpb.NewStatusServiceClient(n.conn).Status(ctx, &controlpb.StatusRequest{}, grpc.Trailer(trailer))
		return err
	})
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Cluster: got.GetCluster(), ClusterID: got.GetClusterId(), Incarnation: got.GetIncarnation(), Leader: got.GetLeader(),
		Applied: got.GetApplied(), Topics: got.GetTopics(), Partitions: got.GetPartitions(), IndexEntries: got.GetIndexEntries(),
		Segments: got.GetSegments(), Producers: got.GetProducers(), LiveBytes: got.GetLiveBytes(),
		ClockFrozen: got.GetClockFrozen(), Version: got.GetVersion(),
	}
	for _, a := range got.GetAgents() {
		s.Agents = append(s.Agents, Agent{
			Agent: a.GetAgent(), Session: a.GetSession(), Group: a.GetGroup(), Roles: a.GetRoles(), Zone: a.GetZone(),
			NodeID: a.GetNodeId(), KafkaAddress: a.GetKafkaAddress(),
		})
	}
	return s, nil
}

// ConfirmClock says that a person has checked the leader's clock, and returns state time as it is
// from now on.
func (c *Client) ConfirmClock(ctx context.Context) (time.Time, error) {
	var got *controlpb.ConfirmClockResponse
	err := c.do(ctx, "ConfirmClock", always, func(ctx context.Context, n node, trailer *metadata.MD) (err error) {
		got, err = controlpb.NewStatusServiceClient(n.conn).ConfirmClock(ctx, &controlpb.ConfirmClockRequest{Session: c.Session()}, grpc.Trailer(trailer))
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	return time.UnixMilli(got.GetTime()), nil
}
