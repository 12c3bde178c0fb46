package client

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Plan says where records lie, one answer a query, from a confirmed leader read.
func (c *Client) Plan(ctx context.Context, queries []segment.PlanQuery) ([]segment.PartitionPlan, error) {
	ask := &controlpb.PlanRequest{}
	for _, q := range queries {
		ask.Partitions = append(ask.Partitions, &controlpb.PlanPartition{
			Partition: partition(q.Partition), Offset: int64(q.Offset), MaxBytes: q.MaxBytes,
		})
	}
	var got *controlpb.PlanResponse
	err := c.do(ctx, "Plan", acrossSessions, func(ctx context.Context, n node, trailer *metadata.MD) (err error) {
		ask.Session = c.Session()
		got, err = controlpb.NewIndexServiceClient(n.conn).Plan(ctx, ask, grpc.Trailer(trailer))
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(got.GetPartitions()) != len(queries) {
		return nil, fmt.Errorf("plan: %w: %d answers to %d queries", ErrInternal, len(got.GetPartitions()), len(queries))
	}
	objects, err := objects(got.GetObjects())
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	plans := make([]segment.PartitionPlan, len(queries))
	for i, p := range got.GetPartitions() {
		plans[i] = segment.PartitionPlan{
			Code: int16(p.GetError()), LogStart: topic.Offset(p.GetLogStart()),
			HighWatermark: topic.Offset(p.GetHighWatermark()), LastStable: topic.Offset(p.GetLastStable()),
		}
		if plans[i].Locations, err = locations(queries[i].Partition, p.GetExtents(), objects); err != nil {
			return nil, fmt.Errorf("plan %s: %w", queries[i].Partition, err)
		}
	}
	return plans, nil
}

// ListOffsets finds offsets, one answer a query, from a confirmed leader read.
func (c *Client) ListOffsets(ctx context.Context, queries []segment.OffsetQuery) ([]segment.OffsetFound, error) {
	ask := &controlpb.ListOffsetsRequest{}
	for _, q := range queries {
		ask.Partitions = append(ask.Partitions, &controlpb.ListOffsetsPartition{
			Partition: partition(q.Partition), Timestamp: q.Timestamp, ReadCommitted: q.ReadCommitted,
		})
	}
	var got *controlpb.ListOffsetsResponse
	err := c.do(ctx, "ListOffsets", acrossSessions, func(ctx context.Context, n node, trailer *metadata.MD) (err error) {
		ask.Session = c.Session()
		got, err = controlpb.NewIndexServiceClient(n.conn).ListOffsets(ctx, ask, grpc.Trailer(trailer))
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(got.GetPartitions()) != len(queries) {
		return nil, fmt.Errorf("list offsets: %w: %d answers to %d queries", ErrInternal, len(got.GetPartitions()), len(queries))
	}
	objects, err := objects(got.GetObjects())
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	found := make([]segment.OffsetFound, len(queries))
	for i, f := range got.GetPartitions() {
		found[i] = segment.OffsetFound{Code: int16(f.GetError()), Offset: topic.Offset(f.GetOffset()), Timestamp: f.GetTimestamp()}
		if f.GetExtent() == nil {
			continue
		}
		in, err := locations(queries[i].Partition, []*controlpb.Extent{f.GetExtent()}, objects)
		if err != nil {
			return nil, fmt.Errorf("list offsets of %s: %w", queries[i].Partition, err)
		}
		found[i].In = &in[0]
	}
	return found, nil
}

// Topics describes topics from a confirmed leader read, creating missing ones if asked.
func (c *Client) Topics(ctx context.Context, q topic.Query) ([]topic.Found, error) {
	ask := &controlpb.TopicsRequest{All: q.All, Names: q.Names, Create: q.Create}
	for _, id := range q.IDs {
		ask.Ids = append(ask.Ids, append([]byte(nil), id[:]...))
	}
	var got *controlpb.TopicsResponse
	err := c.do(ctx, "Topics", acrossSessions, func(ctx context.Context, n node, trailer *metadata.MD) (err error) {
		ask.Session = c.Session()
		got, err = controlpb.NewIndexServiceClient(n.conn).Topics(ctx, ask, grpc.Trailer(trailer))
		return err
	})
	if err != nil {
		return nil, err
	}
	if want := len(q.Names) + len(q.IDs); !q.All && len(got.GetTopics()) != want {
		return nil, fmt.Errorf("describe topics: %w: %d answers to %d queries", ErrInternal, len(got.GetTopics()), want)
	}
	found := make([]topic.Found, 0, len(got.GetTopics()))
	for _, t := range got.GetTopics() {
		f, err := topicFound(t)
		if err != nil {
			return nil, fmt.Errorf("describe topic %q: %w", t.GetName(), err)
		}
		found = append(found, f)
	}
	return found, nil
}
