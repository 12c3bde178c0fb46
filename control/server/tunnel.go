package server

import (
	"context"
	"fmt"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/raft"
)

// backend is what the tunnel asks of the node.
type backend struct{ s *service }

// Propose implements tunnel.Backend.
func (b backend) Propose(ctx context.Context, commands ...*controlpb.Command) ([]control.Result, error) {
	return b.s.node.Propose(ctx, commands...)
}

// View implements tunnel.Backend.
func (b backend) View(ctx context.Context, read func(*control.State)) error {
	return b.s.node.View(ctx, read)
}

// Peek implements tunnel.Backend.
func (b backend) Peek(read func(*control.State)) { b.s.node.Peek(read) }

// Call hands one of Kafka's requests to the tunnel, which asks the walls itself: only it can read what the request is
// about.
func (s *service) Call(ctx context.Context, r *controlpb.CallRequest) (*controlpb.CallResponse, error) {
	t, err := s.leading()
	if err != nil {
		return nil, err
	}
	who, err := s.caller(ctx, r.GetSession())
	if err != nil {
		return nil, err
	}
	// A parked request ends with the term: its agent sends it again to the next leader.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	defer context.AfterFunc(s.stopping, cancel)()
	answer, err := s.tunnel.Call(ctx, who, r)
	if err != nil && (t.ctx.Err() != nil || s.stopping.Err() != nil) {
		return nil, fmt.Errorf("%w: %w", raft.ErrUnknownOutcome, err)
	}
	return answer, err
}
