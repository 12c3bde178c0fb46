package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"google.golang.org/grpc"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// watchPart bounds the partitions in one message of a watch.
const watchPart = 4096

// WatchStream pushes the news of the partitions that were added. Recv is called by one goroutine; Add
// and Remove by any. After an error, open another stream and add the partitions again.
type WatchStream struct {
	addr    string
	session uint64
	stream  grpc.BidiStreamingClient[controlpb.WatchRequest, controlpb.WatchResponse]
	cancel  context.CancelFunc
	send    sync.Mutex
}

// Watch opens a stream at the leader; ctx ends it.
func (c *Client) Watch(ctx context.Context) (*WatchStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &WatchStream{cancel: cancel}
	err := c.open(ctx, "Watch", func(ctx context.Context, n node) (grpc.ClientStream, error) {
		stream, err := controlpb.NewIndexServiceClient(n.conn).Watch(ctx)
		if err != nil {
			return nil, err
		}
		s.addr, s.stream, s.session = n.addr, stream, c.Session()
		// The first message names the session; a broken stream says why when it is read.
		return stream, ignoreEOF(stream.Send(&controlpb.WatchRequest{Session: s.session}))
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open watch: %w", err)
	}
	return s, nil
}

// Add asks for the news of partitions. The first event of each carries its ends from a confirmed
// leader read; placements follow it without a hole.
func (s *WatchStream) Add(ps []topic.Partition) error {
	for part := range slices.Chunk(ps, watchPart) {
		if err := s.ask(&controlpb.WatchRequest{Add: partitions(part)}); err != nil {
			return err
		}
	}
	return nil
}

// Remove ends the news of partitions; events on their way may still arrive.
func (s *WatchStream) Remove(ps []topic.Partition) error {
	for part := range slices.Chunk(ps, watchPart) {
		if err := s.ask(&controlpb.WatchRequest{Remove: partitions(part)}); err != nil {
			return err
		}
	}
	return nil
}

func (s *WatchStream) ask(m *controlpb.WatchRequest) error {
	s.send.Lock()
	defer s.send.Unlock()
	if err := s.stream.Send(m); err != nil {
		return fmt.Errorf("watch at %s: %w: stream is broken", s.addr, ErrUnavailable)
	}
	return nil
}

// Recv returns the next events, in the order in which they were applied.
func (s *WatchStream) Recv() ([]segment.Event, error) {
	m, err := s.stream.Recv()
	if err != nil {
		return nil, fmt.Errorf("watch: %w", classify(s.addr, err, s.stream.Trailer()).err)
	}
	objects, err := objects(m.GetObjects())
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	events := make([]segment.Event, len(m.GetEvents()))
	for i, e := range m.GetEvents() {
		p, err := partitionOf(e.GetPartition())
		if err != nil {
			return nil, fmt.Errorf("watch: %w", err)
		}
		events[i] = segment.Event{
			Partition: p, Removed: e.GetRemoved(), Reset: e.GetReset_(),
			LogStart: topic.Offset(e.GetLogStart()), HighWatermark: topic.Offset(e.GetHighWatermark()),
		}
		if events[i].Locations, err = locations(p, e.GetExtents(), objects); err != nil {
			return nil, fmt.Errorf("watch %s: %w", p, err)
		}
	}
	return events, nil
}

// Close ends the stream; Recv then fails.
func (s *WatchStream) Close() error {
	s.cancel()
	return nil
}

// ignoreEOF leaves it to the reading side to say why a stream is broken.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
