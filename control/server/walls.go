package server

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

// Change carries out one change of the walls. What it means for sessions is done where it is applied; what it means for
// streams, as soon as it is.
func (s *service) Change(ctx context.Context, r *controlpb.ChangeRequest) (*controlpb.ChangeResponse, error) {
	who, err := s.ask(ctx, control.CallChange, 0, 0, 0)
	if err != nil {
		return nil, err
	}
	key := make([]byte, gossipKeyBytes)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("draw a gossip key: %w", err)
	}
	results, err := s.node.Propose(ctx, &controlpb.Command{Op: &controlpb.Command_ChangeWalls{
		ChangeWalls: &controlpb.ChangeWallsCommand{Change: r.GetChange(), Identity: identityOf(who), GossipKey: key},
	}})
	if err != nil {
		return nil, fmt.Errorf("change the walls: %w", err)
	}
	return &controlpb.ChangeResponse{Error: int32(results[0].Code), Reason: results[0].Reason}, nil
}

// identityOf is how a change of the walls is signed.
func identityOf(who control.Caller) string {
	if who.Identity == "" && who.Open {
		return "anybody on this machine"
	}
	return who.Identity
}

// Walls tells all shares, groups, grants and bindings.
func (s *service) Walls(ctx context.Context, _ *controlpb.WallsRequest) (answer *controlpb.WallsResponse, err error) {
	if _, err := s.ask(ctx, control.CallWalls, 0, 0, 0); err != nil {
		return nil, err
	}
	s.node.Peek(func(st *control.State) { answer = st.DescribeWalls() })
	return answer, nil
}

// Audit tells who did what.
func (s *service) Audit(ctx context.Context, r *controlpb.AuditRequest) (*controlpb.AuditResponse, error) {
	answer := &controlpb.AuditResponse{}
	if _, err := s.ask(ctx, control.CallAudit, 0, 0, 0); err != nil {
		return nil, err
	}
	s.node.Peek(func(st *control.State) { answer.Events, answer.More = st.Audit(r) })
	return answer, nil
}
