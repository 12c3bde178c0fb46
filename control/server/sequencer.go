package server

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/raft"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// Commit proposes the commits of one session as they come and answers them in order. Up to
// CommitWindow of them wait for the log; then the stream is not read, and the agent slows down.
//
// Whether the caller may commit at all is asked here, when the stream opens and whenever the walls change; what it may commit
// is decided where the commit is applied, by the same function: a repeated commit is answered as it was before that
// is asked, or what was placed could be answered with a refusal.
func (s *service) Commit(stream grpc.BidiStreamingServer[controlpb.CommitRequest, controlpb.CommitResponse]) error {
	t, err := s.leading()
	if err != nil {
		return err
	}
	who, err := s.callerOf(stream.Context())
	if err != nil {
		return err
	}
	mayCommit := func(st *control.State) error {
		if who.Open && who.Agent == "" {
			return nil // its roles are those of the session that it will name
		}
		return permit(st, who, control.Call{Kind: control.CallCommit})
	}
	s.node.Peek(func(st *control.State) { err = mayCommit(st) })
	if err != nil {
		return err
	}
	if err := stream.SendHeader(metadata.Pairs(controlpb.ReadyHeader, "1")); err != nil {
		return err
	}
	waiting := make(chan pendingCommit, s.config.CommitWindow)
	return s.untilOver(stream.Context(), t, review{may: mayCommit},
		func(ctx context.Context) error {
			defer close(waiting)
			return s.receiveCommits(ctx, stream, who, waiting)
		},
		func(ctx context.Context) error { return s.answerCommits(ctx, stream, waiting) })
}

// pendingCommit is a commit on its way through the log.
type pendingCommit struct {
	request *controlpb.CommitRequest
	answer  *raft.Pending
}

// untilOver runs the two sides of a stream. It returns when both have ended, or sooner: when one has
// failed, the review says why the stream may not go on, or the term or the node ends. It does not wait for the other side, which may sit in Recv for as
// long as the agent has nothing to say: the handler's return is what ends the stream, and with it that side.
func (s *service) untilOver(stream context.Context, t *term, r review, sides ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(stream)
	defer cancel(nil)
	over := make(chan error, 1)
	go func() { over <- s.guard(ctx, r) }()
	done := make(chan error, len(sides))
	for _, side := range sides {
		go func() { done <- side(ctx) }()
	}
	for range sides {
		select {
		case err := <-done:
			if err != nil {
				cancel(err)
				return err
			}
		case err := <-over:
			cancel(err)
			return err
		case <-t.ctx.Done():
			return raft.ErrNotLeader
		case <-s.stopping.Done():
			return errStopping
		}
	}
	return nil
}

func (s *service) receiveCommits(ctx context.Context, stream grpc.BidiStreamingServer[controlpb.CommitRequest, controlpb.CommitResponse], who control.Caller, waiting chan<- pendingCommit) error {
	session := uint64(0)
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if session == 0 {
			session = r.GetSession()
			if err := s.owned(who, session); err != nil {
				return err
			}
		}
		if r.GetSession() != session || session == 0 {
			return fmt.Errorf("%w: commit of session %d on a stream of session %d", errInvalid, r.GetSession(), session)
		}
		p, err := s.node.Enqueue(&controlpb.Command{Op: &controlpb.Command_Commit{Commit: r}})
		if err != nil {
			return fmt.Errorf("commit %d of session %d and share %q: %w", r.GetSequence(), session, r.GetShare(), err)
		}
		select {
		case waiting <- pendingCommit{r, p}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// owned refuses a session that is another's. One that has ended is its agent's still, who asks what became of its commits.
func (s *service) owned(who control.Caller, session uint64) (err error) {
	s.node.Peek(func(st *control.State) {
		if _, err = inSession(st, who, session); errors.Is(err, errEnded) {
			err = nil
		}
	})
	return err
}

// answerCommits sends an answer once the log holds its commit (I3).
func (s *service) answerCommits(ctx context.Context, stream grpc.BidiStreamingServer[controlpb.CommitRequest, controlpb.CommitResponse], waiting <-chan pendingCommit) error {
	for c := range waiting {
		results, err := c.answer.Wait(ctx)
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		reply := results[0].Reply
		s.m.commits.WithLabelValues(outcomeName(reply.Outcome)).Inc()
		if reply.Outcome == 0 {
			return fmt.Errorf("commit: %w: the command was refused with code %d", errInvalid, results[0].Code)
		}
		if reply.Outcome != segment.Answered {
			s.log.Debug("commit is not answered", "session", reply.Session, "share", reply.Share,
				"sequence", reply.Sequence, "outcome", outcomeName(reply.Outcome), "last", reply.Last)
		}
		s.tallyRefused(c.request, reply)
		if err := stream.Send(encodeReply(reply)); err != nil {
			return err
		}
	}
	return nil
}
