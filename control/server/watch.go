package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/hub"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// watchPart bounds the locations in one message of a watch.
const watchPart = 4096

// Watch pushes what is placed in the partitions that are added. It ends with its session, with the right to watch, with the
// term and with the node; the agent then opens another one and adds the partitions again. A partition whose grant has
// ended is told of as removed, and nothing of it is pushed any more.
func (s *service) Watch(stream grpc.BidiStreamingServer[controlpb.WatchRequest, controlpb.WatchResponse]) error {
	t, err := s.leading()
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	who, err := s.watcher(stream.Context(), first.GetSession())
	if err != nil {
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
		review{func(st *control.State) error { return mayWatch(st, who) }, func() { s.reviewWatch(w, who) }},
		func(ctx context.Context) error { return s.receiveWatch(ctx, stream, w, who, first) },
		func(ctx context.Context) error { return sendWatch(ctx, stream, w) })
	if errors.Is(err, io.EOF) {
		return nil // the agent has closed the stream
	}
	return err
}

// watcher says who watches, or why nobody.
func (s *service) watcher(ctx context.Context, session uint64) (who control.Caller, err error) {
	if who, err = s.caller(ctx, session); err == nil {
		s.node.Peek(func(st *control.State) { err = mayWatch(st, who) })
	}
	return who, err
}

// reviewWatch ends the news of what is not granted any more. What joins meanwhile is asked about as it joins.
func (s *service) reviewWatch(w *hub.Watch, who control.Caller) {
	for part := range slices.Chunk(w.Partitions(), readPart) {
		s.node.Peek(func(st *control.State) { w.Review(st, who, part) })
	}
}

// mayWatch says why who may not watch, if so: its session has ended, or it may watch nothing.
func mayWatch(st *control.State, who control.Caller) error {
	if _, err := inSession(st, who, who.Session); err != nil {
		return err
	}
	return permit(st, who, control.Call{Kind: control.CallWatch})
}

func (s *service) receiveWatch(ctx context.Context, stream grpc.BidiStreamingServer[controlpb.WatchRequest, controlpb.WatchResponse], w *hub.Watch, who control.Caller, r *controlpb.WatchRequest) error {
	for {
		for _, p := range r.GetRemove() {
			gone, err := partitionOf(p)
			if err != nil {
				return err
			}
			w.Remove(gone)
		}
		if err := s.addWatch(ctx, w, who, r.GetAdd()); err != nil {
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
func (s *service) addWatch(ctx context.Context, w *hub.Watch, who control.Caller, add []*controlpb.Partition) error {
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
			if err = mayWatch(st, who); err != nil {
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

func sendWatch(ctx context.Context, stream grpc.BidiStreamingServer[controlpb.WatchRequest, controlpb.WatchResponse], w *hub.Watch) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
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
