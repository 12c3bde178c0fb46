package server

import (
	"context"
	"fmt"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

// Status describes this node; it answers whether or not the node leads, from the state as it has it.
func (s *service) Status(context.Context, *controlpb.StatusRequest) (*controlpb.StatusResponse, error) {
	if d := control.Allow(control.Caller{}, control.Call{Kind: control.CallStatus}); !d.Allowed {
		return nil, refuse(control.Caller{}, d)
	}
	id := s.node.Identity()
	answer := &controlpb.StatusResponse{
		Cluster: id.Cluster, ClusterId: id.ClusterID, Incarnation: id.Incarnation,
		Applied: s.node.Applied(), Version: s.config.Version,
	}
	if s.term.Load() != nil {
		answer.Leader = id.Node
	}
	s.node.Peek(func(st *control.State) {
		n := st.Stats()
		answer.Topics, answer.Partitions, answer.IndexEntries = int64(n.Topics), int64(n.Partitions), n.IndexEntries
		answer.Segments, answer.Producers, answer.LiveBytes = int64(n.Segments), int64(n.Producers), n.LiveBytes
		answer.ClockFrozen = st.Frozen()
		st.EachSession(func(x control.Session) bool {
			if x.Ended {
				return true
			}
			answer.Agents = append(answer.Agents, &controlpb.AgentStatus{
				Agent: x.Agent, Session: x.ID, Group: x.Group, Roles: x.Roles, Zone: x.Zone, NodeId: x.NodeID,
				KafkaAddress: x.Kafka,
			})
			return true
		})
	})
	return answer, nil
}

// ConfirmClock ends a freeze: state time follows the leader's wall clock, which a person has checked.
func (s *service) ConfirmClock(ctx context.Context, r *controlpb.ConfirmClockRequest) (*controlpb.ConfirmClockResponse, error) {
	who, err := s.ask(ctx, r.GetSession(), 0, 0)
	if err != nil {
		return nil, err
	}
	if d := control.Allow(who, control.Call{Kind: control.CallStatus}); !d.Allowed {
		return nil, refuse(who, d)
	}
	confirm := &controlpb.Command{Op: &controlpb.Command_ConfirmClock{ConfirmClock: &controlpb.ConfirmClockCommand{}}}
	if _, err := s.node.Propose(ctx, confirm); err != nil {
		return nil, fmt.Errorf("confirm clock: %w", err)
	}
	s.log.Warn("the clock was confirmed by a person: what is due expires again")
	return &controlpb.ConfirmClockResponse{Time: s.node.Now()}, nil
}
