package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/hub"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// watchPart bounds the locations in one message of a watch.
const watchPart = 4096

// Watch pushes what is placed in the partitions that are added. It ends with its session, with the term
// and with the node; the agent then opens another one and adds the partitions again.
func (s *service) Watch(stream grpc.BidiStreamingServer[controlpb.WatchRequest, controlpb.WatchResponse]) error {
	t, err := s.leading()
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if _, err := s.watcher(first.GetSession()); err != nil {
		return err
	}
	if err := stream.SendHeader(metadata.Pairs(controlpb.ReadyHeader, "1")); err != nil {
		return err
	}
	w := s.hub.Open(s.config.WatchQueue)
	defer w.Close()
	s.m.watchStreams.Inc()
	defer s.m.watchStreams.Dec()
	err = s.untilOver(stream.Context(), t,
		func(ctx context.Context) error { return s.receiveWatch(ctx, stream, w, first) },
		func(ctx context.Context) error { return s.sendWatch(ctx, stream, w, first.GetSession()) })
	if errors.Is(err, io.EOF) {
		return nil // the agent has closed the stream
	}
	return err
}

// watcher says who watches, or that its session has ended.
func (s *service) watcher(session uint64) (who control.Caller, err error) {
	s.node.Peek(func(st *control.State) { who, err = s.caller(st, session) })
	return who, err
}

func (s *service) receiveWatch(ctx context.Context, stream grpc.BidiStreamingServer[controlpb.WatchRequest, controlpb.WatchResponse], w *hub.Watch, r *controlpb.WatchRequest) error {
	session := r.GetSession()
	for {
		for _, p := range r.GetRemove() {
			gone, err := partitionOf(p)
			if err != nil {
				return err
			}
			w.Remove(gone)
		}
		if err := s.addWatch(ctx, w, session, r.GetAdd()); err != nil {
			return err
		}
		var err error
		if r, err = stream.Recv(); errors.Is(err, io.EOF) {
			return io.EOF
		} else if err != nil {
			return err
		}
	}
}

// addWatch joins partitions to the watch. After the leadership check, the ends are read and the watch
// joins under one hold of the state's lock: nothing is applied between the two.
func (s *service) addWatch(ctx context.Context, w *hub.Watch, session uint64, add []*controlpb.Partition) error {
	if len(add) == 0 {
		return nil
	}
	if n := w.Watching() + len(add); n > s.config.WatchPartitions {
		return fmt.Errorf("%w: a watch of %d partitions, it may have %d", errInvalid, n, s.config.WatchPartitions)
	}
	partitions := make([]topic.Partition, len(add))
	for i, p := range add {
		var err error
		if partitions[i], err = partitionOf(p); err != nil {
			return err
		}
	}
	if err := s.node.Confirm(ctx); err != nil {
		return err
	}
	for part := range slices.Chunk(partitions, readPart) {
		var err error
		s.node.Peek(func(st *control.State) {
			var who control.Caller
			if who, err = s.caller(st, session); err != nil {
				return
			}
			for _, p := range part {
				w.Join(st, who, p)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *service) sendWatch(ctx context.Context, stream grpc.BidiStreamingServer[controlpb.WatchRequest, controlpb.WatchResponse], w *hub.Watch, session uint64) error {
	check := time.NewTicker(s.config.Raft.Limits.Heartbeat) // as often as its session is to be renewed
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-check.C:
			if _, err := s.watcher(session); err != nil {
				return err
			}
		case <-w.Wake():
			events, err := w.Take(watchPart)
			if err != nil {
				return err
			}
			if len(events) == 0 {
				continue
			}
			if err := stream.Send(encodeEvents(events)); err != nil {
				return err
			}
		}
	}
}
