package server

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/authority"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/hub"
	"github.com/isthmusdata/isthmus/control/raft"
	"github.com/isthmusdata/isthmus/control/tunnel"
)

var (
	errDenied   = errors.New("not allowed")
	errInvalid  = errors.New("invalid request")
	errEnded    = errors.New("session has ended")
	errStopping = errors.New("control node is stopping")
	errUnproven = errors.New("not logged in")
	errAway     = errors.New("a proof cannot be verified now")
)

// refuse says what Allow refused, and to whom. Whoever was let in by something that is no more has to prove anew who it is.
func refuse(who control.Caller, d control.Decision) error {
	if d.Login {
		return fmt.Errorf("%w: %s", errUnproven, d.Reason)
	}
	if who.Session == 0 {
		return fmt.Errorf("%w: %s", errDenied, d.Reason)
	}
	return fmt.Errorf("%w: %s (session %d of group %s has roles %v)", errDenied, d.Reason, who.Session, who.Group, who.Roles)
}

// toStatus is the only place where an error of ours becomes one of gRPC's.
func toStatus(err error) (*status.Status, metadata.MD) {
	refused := metadata.Pairs(controlpb.RefusedTrailer, "1")
	switch {
	case errors.Is(err, raft.ErrUnknownOutcome):
		return status.New(codes.Aborted, err.Error()), nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrStopped), errors.Is(err, errStopping), errors.Is(err, tunnel.ErrAway), errors.Is(err, hub.ErrClosed), errors.Is(err, hub.ErrReplaced):
		return status.New(codes.Unavailable, err.Error()), refused
	case errors.Is(err, errAway):
		return status.New(codes.Unavailable, err.Error()), refused
	case errors.Is(err, errUnproven), errors.Is(err, authority.ErrNonce):
		return status.New(codes.Unauthenticated, err.Error()), refused
	case errors.Is(err, raft.ErrOverloaded), errors.Is(err, authority.ErrBusy):
		return status.New(codes.ResourceExhausted, err.Error()), refused
	case errors.Is(err, raft.ErrTooLarge), errors.Is(err, raft.ErrInvalid), errors.Is(err, errInvalid),
		errors.Is(err, tunnel.ErrUnsupported), errors.Is(err, tunnel.ErrMalformed):
		return status.New(codes.InvalidArgument, err.Error()), refused
	case errors.Is(err, errDenied):
		return status.New(codes.PermissionDenied, err.Error()), refused
	case errors.Is(err, errEnded):
		refused.Set(controlpb.EndedTrailer, "1")
		return status.New(codes.FailedPrecondition, err.Error()), refused
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, err.Error()), nil
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, err.Error()), nil
	}
	if s, ok := status.FromError(err); ok {
		return s, nil // the transport's own
	}
	return status.New(codes.Internal, err.Error()), nil
}
