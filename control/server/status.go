package server

import (
	"context"
	"fmt"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

// Status describes this node; it answers whether or not the node leads, from the state as it has it. Who is no operator
// is told of the agents of its own group alone, and of nothing that is counted.
func (s *service) Status(ctx context.Context, _ *controlpb.StatusRequest) (*controlpb.StatusResponse, error) {
	who, err := s.callerOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.permitted(who, control.Call{Kind: control.CallStatus}); err != nil {
		return nil, err
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
		answer.ClockFrozen = st.Frozen()
		if who.Admin || who.Open {
			n := st.Stats()
			answer.Topics, answer.Partitions, answer.IndexEntries = int64(n.Topics), int64(n.Partitions), n.IndexEntries
			answer.Segments, answer.Producers, answer.LiveBytes = int64(n.Segments), int64(n.Producers), n.LiveBytes
		}
		st.EachSession(func(x control.Session) bool {
			if x.Ended || !who.Admin && !who.Open && x.Group != who.Group {
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

// ConfirmClock ends a freeze: state time follows the leader's wall clock, which a person has checked. What runs out, grants
// included, depends on it: it is an operator's.
func (s *service) ConfirmClock(ctx context.Context, r *controlpb.ConfirmClockRequest) (*controlpb.ConfirmClockResponse, error) {
	if _, err := s.ask(ctx, control.CallConfirmClock, r.GetSession(), 0, 0); err != nil {
		return nil, err
	}
	confirm := &controlpb.Command{Op: &controlpb.Command_ConfirmClock{ConfirmClock: &controlpb.ConfirmClockCommand{}}}
	if _, err := s.node.Propose(ctx, confirm); err != nil {
		return nil, fmt.Errorf("confirm clock: %w", err)
	}
	s.log.Warn("the clock was confirmed by a person: what is due expires again")
	return &controlpb.ConfirmClockResponse{Time: s.node.Now()}, nil
}
