package server

import (
	"context"
	"fmt"
	"slices"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// readPart is how many partitions are read under one hold of the state's lock.
const readPart = 64

// Plan says where records lie. One leadership check covers all partitions.
func (s *service) Plan(ctx context.Context, r *controlpb.PlanRequest) (*controlpb.PlanResponse, error) {
	who, err := s.ask(ctx, control.CallPlan, r.GetSession(), len(r.GetPartitions()), s.config.PlanPartitions)
	if err != nil {
		return nil, err
	}
	queries := make([]segment.PlanQuery, len(r.GetPartitions()))
	for i, q := range r.GetPartitions() {
		p, err := partitionOf(q.GetPartition())
		if err != nil {
			return nil, err
		}
		queries[i] = segment.PlanQuery{Partition: p, Offset: topic.Offset(q.GetOffset()), MaxBytes: min(max(q.GetMaxBytes(), 0), s.config.PlanBytes)}
	}
	var o objects
	answer := &controlpb.PlanResponse{Partitions: make([]*controlpb.PartitionPlan, 0, len(queries))}
	left := s.config.PlanLocations
	for part := range slices.Chunk(queries, readPart) {
		s.node.Peek(func(st *control.State) {
			for _, q := range part {
				plan := s.plan(st, who, q, max(left, 1))
				left -= len(plan.Locations)
				answer.Partitions = append(answer.Partitions, encodePlan(&o, plan))
			}
		})
	}
	answer.Objects = o.list
	return answer, nil
}

// plan bounds one partition's locations; there is at least one where there is something to read, and the
// reader asks for the rest when it gets there.
func (s *service) plan(st *control.State, who control.Caller, q segment.PlanQuery, most int) segment.PartitionPlan {
	if d := st.AllowPartition(who, control.CallPlan, q.Partition); !d.Allowed {
		s.denyRead(st, who, "Plan", q.Partition, d)
		return segment.PartitionPlan{Code: d.Code}
	}
	plan := st.Plan(q.Partition, q.Offset, q.MaxBytes)
	plan.Locations = plan.Locations[:min(len(plan.Locations), most)]
	return plan
}

func encodePlan(o *objects, p segment.PartitionPlan) *controlpb.PartitionPlan {
	return &controlpb.PartitionPlan{
		Error: int32(p.Code), LogStart: int64(p.LogStart), HighWatermark: int64(p.HighWatermark),
		LastStable: int64(p.LastStable), Extents: o.extents(p.Locations),
	}
}

// ListOffsets finds offsets by time or special timestamp.
func (s *service) ListOffsets(ctx context.Context, r *controlpb.ListOffsetsRequest) (*controlpb.ListOffsetsResponse, error) {
	who, err := s.ask(ctx, control.CallListOffsets, r.GetSession(), len(r.GetPartitions()), s.config.PlanPartitions)
	if err != nil {
		return nil, err
	}
	queries := make([]segment.OffsetQuery, len(r.GetPartitions()))
	for i, q := range r.GetPartitions() {
		p, err := partitionOf(q.GetPartition())
		if err != nil {
			return nil, err
		}
		queries[i] = segment.OffsetQuery{Partition: p, Timestamp: q.GetTimestamp(), ReadCommitted: q.GetReadCommitted()}
	}
	var o objects
	answer := &controlpb.ListOffsetsResponse{Partitions: make([]*controlpb.OffsetFound, 0, len(queries))}
	for part := range slices.Chunk(queries, readPart) {
		s.node.Peek(func(st *control.State) {
			for _, q := range part {
				found := segment.OffsetFound{Offset: topic.NoOffset, Timestamp: -1}
				if d := st.AllowPartition(who, control.CallListOffsets, q.Partition); d.Allowed {
					found = st.FindOffset(q)
				} else {
					found.Code = d.Code
					s.denyRead(st, who, "ListOffsets", q.Partition, d)
				}
				answer.Partitions = append(answer.Partitions, encodeFound(&o, found))
			}
		})
	}
	answer.Objects = o.list
	return answer, nil
}

func encodeFound(o *objects, f segment.OffsetFound) *controlpb.OffsetFound {
	m := &controlpb.OffsetFound{Error: int32(f.Code), Offset: int64(f.Offset), Timestamp: f.Timestamp}
	if f.In != nil {
		m.Extent = &controlpb.Extent{}
		o.extent(m.Extent, f.In)
	}
	return m
}

// ask begins a read: it bounds it, makes sure that this node leads, and says who asks, if who may ask such things at all.
func (s *service) ask(ctx context.Context, kind control.CallKind, session uint64, n, most int) (who control.Caller, err error) {
	if n > most {
		return who, fmt.Errorf("%w: %d partitions are asked for at once, at most %d are answered", errInvalid, n, most)
	}
	if _, err := s.leading(); err != nil {
		return who, err
	}
	if who, err = s.callerOf(ctx); err != nil {
		return who, err
	}
	if err := s.node.Confirm(ctx); err != nil {
		return who, err
	}
	s.node.Peek(func(st *control.State) {
		if who, err = inSession(st, who, session); err == nil {
			err = permit(st, who, control.Call{Kind: kind})
		}
	})
	return who, err
}
