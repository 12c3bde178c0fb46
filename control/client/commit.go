package client

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// CommitStream carries the commits of one session. Send and Recv may be called by one goroutine each;
// answers come in the order of the commits. After an error, open another stream and send what is
// unanswered again, unchanged, in order.
type CommitStream struct {
	addr   string
	stream grpc.BidiStreamingClient[controlpb.CommitRequest, controlpb.CommitResponse]
	cancel context.CancelFunc
	send   sync.Mutex
}

// Commits opens a stream at the leader; ctx ends it.
func (c *Client) Commits(ctx context.Context, session uint64) (*CommitStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &CommitStream{cancel: cancel}
	err := c.open(ctx, "Commit", func(ctx context.Context, n node) (grpc.ClientStream, error) {
		stream, err := controlpb.NewSequencerServiceClient(n.conn).Commit(ctx)
		s.addr, s.stream = n.addr, stream
		return stream, err
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open commit stream of session %d: %w", session, err)
	}
	return s, nil
}

// Send asks for the places of one segment. It may block while many answers are outstanding.
func (s *CommitStream) Send(c *segment.Commit) error {
	m := &controlpb.CommitRequest{
		Session: c.Session, Share: c.Share, Sequence: c.Sequence, After: c.After, Abandoned: c.Abandoned,
		Nonce: c.Nonce[:], Acked: c.Acked,
	}
	for _, loser := range c.Losers {
		m.Losers = append(m.Losers, append([]byte(nil), loser[:]...))
	}
	if !c.Empty() {
		m.Manifest = segment.AppendManifest(nil, &c.Manifest)
	}
	s.send.Lock()
	defer s.send.Unlock()
	if err := s.stream.Send(m); err != nil {
		return fmt.Errorf("send commit %d of session %d to %s: %w: stream is broken", c.Sequence, c.Session, s.addr, ErrUnavailable)
	}
	return nil
}

// Recv returns the next answer.
func (s *CommitStream) Recv() (segment.Reply, error) {
	m, err := s.stream.Recv()
	if err != nil {
		return segment.Reply{}, fmt.Errorf("receive commit answer: %w", classify(s.addr, err, s.stream.Trailer()).err)
	}
	r := segment.Reply{
		Session: m.GetSession(), Share: m.GetShare(), Sequence: m.GetSequence(),
		Outcome: segment.Outcome(m.GetOutcome()), Last: m.GetLast(),
	}
	if r.Outcome < segment.Answered || r.Outcome > segment.Unauthorized {
		return segment.Reply{}, fmt.Errorf("receive commit answer: %w: outcome %d is unknown", ErrInternal, m.GetOutcome())
	}
	if len(m.GetAnswers()) > 0 {
		if r.Answers, err = segment.ParseAnswers(m.GetAnswers()); err != nil {
			return segment.Reply{}, fmt.Errorf("receive commit answer: %w: %w", ErrInternal, err)
		}
	}
	return r, nil
}

// Close ends the stream; Recv then fails.
func (s *CommitStream) Close() error {
	s.cancel()
	return nil
}

// open opens a stream and waits for the leader's header. The attempts share ctx, which the stream
// lives by; only the wait for the header is bounded.
func (c *Client) open(ctx context.Context, method string, try func(context.Context, node) (grpc.ClientStream, error)) error {
	patience, cancel := context.WithTimeoutCause(ctx, c.config.Patience, fmt.Errorf("%w after %s", ErrUnavailable, c.config.Patience))
	defer cancel()
	return c.do(patience, method, acrossSessions, func(_ context.Context, n node, trailer *metadata.MD) error {
		stream, err := try(c.authorized(ctx), n)
		if err != nil {
			return err
		}
		return standing(patience, stream, trailer)
	})
}

// standing waits for the header. A stream that ended without one says why in its status.
func standing(ctx context.Context, stream grpc.ClientStream, trailer *metadata.MD) error {
	type answer struct {
		header metadata.MD
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		header, err := stream.Header()
		answered <- answer{header, err}
	}()
	select {
	case a := <-answered:
		if a.err == nil && len(a.header.Get(controlpb.ReadyHeader)) > 0 {
			return nil
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	err := stream.RecvMsg(&controlpb.CommitResponse{})
	*trailer = stream.Trailer()
	if err == nil {
		err = fmt.Errorf("%w: stream began without a header", ErrInternal)
	}
	return err
}
