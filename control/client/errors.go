package client

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// What a call may end with; everything it returns wraps one of these, or the context's error.
var (
	// ErrUnavailable: no leader answered in time. A call that may be repeated was not, or may not have been, carried out.
	ErrUnavailable = errors.New("control plane does not answer")
	// ErrSessionEnded: the session has ended, for good.
	ErrSessionEnded = errors.New("session has ended")
	// ErrDenied: the caller may not do that.
	ErrDenied = topic.ErrDenied
	// ErrInvalid: the request can never succeed.
	ErrInvalid = errors.New("invalid request")
	// ErrInternal: the control plane has failed at this request.
	ErrInternal = errors.New("control plane failed")
)

// errToken: the token, or the proof, was not taken.
var errToken = fmt.Errorf("%w: not logged in", ErrDenied)

// fault is what one attempt ended with.
type fault struct {
	err       error
	code      codes.Code
	ended     bool // the session has ended
	refused   bool // certainly not carried out
	transient bool // another attempt may succeed
}

// classify understands a gRPC error of an attempt on addr.
func classify(addr string, err error, trailer metadata.MD) *fault {
	s := status.Convert(err)
	f := &fault{code: s.Code(), refused: len(trailer.Get(controlpb.RefusedTrailer)) > 0}
	kind := ErrInternal
	switch s.Code() {
	case codes.Unavailable, codes.Aborted, codes.ResourceExhausted:
		kind, f.transient = ErrUnavailable, true
	case codes.Canceled:
		kind = context.Canceled
	case codes.DeadlineExceeded:
		kind = context.DeadlineExceeded
	case codes.FailedPrecondition:
		if len(trailer.Get(controlpb.EndedTrailer)) > 0 {
			kind, f.ended = ErrSessionEnded, true
		}
	case codes.PermissionDenied:
		kind = ErrDenied
	case codes.Unauthenticated:
		kind = errToken
	case codes.InvalidArgument, codes.Unimplemented, codes.OutOfRange:
		kind = ErrInvalid
	}
	f.err = fmt.Errorf("%w: %s says: %s", kind, addr, s.Message())
	return f
}

// retriable reports whether asking again later may help.
func retriable(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrSessionEnded) || errors.Is(err, context.DeadlineExceeded)
}
