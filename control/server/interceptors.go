package server

import (
	"context"
	"fmt"
	"path"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// unary turns errors into gRPC's, counts, and keeps the fault of one call from ending the others.
func (s *service) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any, err error) {
	method, start := path.Base(info.FullMethod), time.Now()
	answer, err = s.guarded(method, func() (any, error) { return handle(ctx, request) })
	s.m.callSeconds.WithLabelValues(method).Observe(time.Since(start).Seconds())
	if err == nil {
		s.m.calls.WithLabelValues(method, codes.OK.String()).Inc()
		return answer, nil
	}
	s.tallyDenied(ctx, method, err)
	st, trailer := toStatus(err)
	s.m.calls.WithLabelValues(method, st.Code().String()).Inc()
	if trailer != nil {
		if err := grpc.SetTrailer(ctx, trailer); err != nil {
			s.log.Debug("trailer is not sent", "method", method, "error", err)
		}
	}
	return nil, st.Err()
}

func (s *service) streaming(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	method := path.Base(info.FullMethod)
	_, err := s.guarded(method, func() (any, error) { return nil, handle(server, stream) })
	if err == nil {
		s.m.calls.WithLabelValues(method, codes.OK.String()).Inc()
		return nil
	}
	s.tallyDenied(stream.Context(), method, err)
	st, trailer := toStatus(err)
	s.m.calls.WithLabelValues(method, st.Code().String()).Inc()
	if trailer != nil {
		stream.SetTrailer(trailer)
	}
	return st.Err()
}

func (s *service) guarded(method string, work func() (any, error)) (answer any, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("call panicked", "method", method, "panic", p, "stack", string(debug.Stack()))
			answer, err = nil, fmt.Errorf("%s: panic: %v", method, p)
		}
	}()
	return work()
}
