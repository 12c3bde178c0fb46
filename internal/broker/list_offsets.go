package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// ListOffsets, key 2, versions 0 to 10: from a confirmed read at the control plane.
//
// Special timestamps: -1 latest (the last stable offset for read_committed), -2 earliest, -3 the
// record of the maximum timestamp (version 7), -4 earliest local, which is earliest (version 8), -5
// latest tiered, which there is none of (version 9); any other, or one before its version, is 35.
// By time it is the first record not older than asked: exact where the agent may read segments, and
// otherwise the first offset of the extent that holds it, never too late. A partition named twice is
// 42, a client with another epoch gets 74 or 75. Left out: the list of old segments of version 0,
// which is one offset; replica ids.
func (b *broker) listOffsets() wire.API {
	return weighing(localWeight, b.api(kmsg.ListOffsets, 0, 10, func(ctx context.Context, r *wire.Request) (kmsg.Response, error) {
		return b.findOffsets(ctx, r), nil
	}))
}

// refining bounds the segments that one request reads at a time.
const refining = 8

// offsetAsk is one partition of a request on its way to an answer.
type offsetAsk struct {
	topic string
	query segment.OffsetQuery
	reply *kmsg.ListOffsetsResponseTopicPartition
}

func (b *broker) findOffsets(ctx context.Context, r *wire.Request) kmsg.Response {
	req := r.Body.(*kmsg.ListOffsetsRequest)
	ctx, cancel := context.WithTimeout(ctx, b.timeout(req.TimeoutMillis))
	defer cancel()
	resp, asks := b.offsetAsks(ctx, r, req)
	asks = b.answerOffsets(ctx, r, asks)
	// A topic that was deleted and created again is known here under its old id: look again, once.
	if len(asks) > 0 {
		b.retopic(ctx, asks)
		for _, a := range b.answerOffsets(ctx, r, asks) {
			a.reply.ErrorCode = kerr.UnknownTopicOrPartition.Code
		}
	}
	return resp
}

// offsetAsks lays out the response, answers what needs nobody's help, and lists the rest.
func (b *broker) offsetAsks(ctx context.Context, r *wire.Request, req *kmsg.ListOffsetsRequest) (*kmsg.ListOffsetsResponse, []offsetAsk) {
	resp := kmsg.NewPtrListOffsetsResponse()
	resp.Topics = make([]kmsg.ListOffsetsResponseTopic, len(req.Topics))
	twice := duplicates(req)
	names := make([]string, len(req.Topics))
	for i, t := range req.Topics {
		names[i] = t.Topic
	}
	topics, errs := b.Topics.lookupAll(ctx, names)
	var asks []offsetAsk
	for i, t := range req.Topics {
		found, err := topics[t.Topic], errs[t.Topic]
		rt := &resp.Topics[i]
		rt.Topic = t.Topic
		rt.Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, len(t.Partitions))
		for j, p := range t.Partitions {
			rp := &rt.Partitions[j]
			rp.Default()
			rp.Partition, rp.Offset, rp.Timestamp, rp.LeaderEpoch = p.Partition, -1, -1, -1
			rp.ErrorCode = b.refuseOffset(req.Version, p)
			switch {
			case twice[partitionName{t.Topic, p.Partition}]:
				rp.ErrorCode = kerr.InvalidRequest.Code
			case rp.ErrorCode != 0:
			case err != nil:
				rp.ErrorCode = b.lookupCode(r, err)
			case found.Internal:
				b.emptyOffset(rp, p)
			default:
				asks = append(asks, offsetAsk{topic: t.Topic, reply: rp, query: segment.OffsetQuery{
					Partition: topic.Partition{Topic: found.ID, Index: p.Partition},
					Timestamp: p.Timestamp, ReadCommitted: req.IsolationLevel == 1,
				}})
			}
		}
	}
	return resp, asks
}

type partitionName struct {
	topic string
	index int32
}

func duplicates(req *kmsg.ListOffsetsRequest) map[partitionName]bool {
	twice := make(map[partitionName]bool)
	seen := make(map[partitionName]bool)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			n := partitionName{t.Topic, p.Partition}
			if seen[n] {
				twice[n] = true
			}
			seen[n] = true
		}
	}
	return twice
}

// refuseOffset is the code for what cannot be asked in this version or of this epoch, or 0.
func (b *broker) refuseOffset(version int16, p kmsg.ListOffsetsRequestTopicPartition) int16 {
	since := int16(0)
	switch {
	case p.Timestamp == segment.TimestampMax:
		since = 7
	case p.Timestamp == segment.TimestampEarliestLocal:
		since = 8
	case p.Timestamp == segment.TimestampLatestTiered:
		since = 9
	case p.Timestamp < segment.TimestampLatestTiered:
		return kerr.UnsupportedVersion.Code
	}
	epoch := int32(b.Incarnation())
	switch {
	case version < since:
		return kerr.UnsupportedVersion.Code
	case version < 4 || p.CurrentLeaderEpoch < 0:
		return 0
	case p.CurrentLeaderEpoch < epoch:
		return kerr.FencedLeaderEpoch.Code
	case p.CurrentLeaderEpoch > epoch:
		return kerr.UnknownLeaderEpoch.Code
	}
	return 0
}

// answerOffsets asks the control plane and fills in the replies. It returns those asks whose topic
// id the control plane does not know.
func (b *broker) answerOffsets(ctx context.Context, r *wire.Request, asks []offsetAsk) (unknown []offsetAsk) {
	if len(asks) == 0 {
		return nil
	}
	found, err := b.askOffsets(ctx, asks)
	if err != nil {
		for _, a := range asks {
			a.reply.ErrorCode = failedCode(err)
		}
		b.complain(r, "ListOffsets", "offsets not answered by the control plane", err)
		return nil
	}
	refine := errgroup.Group{}
	refine.SetLimit(refining)
	for i, a := range asks {
		switch f := found[i]; {
		case f.Code == kerr.UnknownTopicID.Code, f.Code == kerr.UnknownTopicOrPartition.Code:
			unknown = append(unknown, a)
		case f.Code != 0:
			a.reply.ErrorCode = f.Code
		case f.In != nil && b.Refiner != nil:
			refine.Go(func() error { b.fill(r.Version, a, b.refined(ctx, r, a.query, f)); return nil })
		default:
			b.fill(r.Version, a, f)
		}
	}
	_ = refine.Wait() // its functions return no errors
	return unknown
}

// offsetsAtOnce bounds one question to the control plane.
const offsetsAtOnce = 5000

func (b *broker) askOffsets(ctx context.Context, asks []offsetAsk) ([]segment.OffsetFound, error) {
	var all []segment.OffsetFound
	for part := range slices.Chunk(asks, offsetsAtOnce) {
		queries := make([]segment.OffsetQuery, len(part))
		for i, a := range part {
			queries[i] = a.query
		}
		found, err := b.Control.ListOffsets(ctx, queries)
		if err == nil && len(found) != len(queries) {
			err = fmt.Errorf("%d answers to %d questions", len(found), len(queries))
		}
		if err != nil {
			return nil, fmt.Errorf("list offsets: %w", err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// refined is f with the exact record, or f itself when that cannot be read: too early, never late.
func (b *broker) refined(ctx context.Context, r *wire.Request, q segment.OffsetQuery, f segment.OffsetFound) segment.OffsetFound {
	ts := q.Timestamp
	if ts == segment.TimestampMax {
		ts = f.Timestamp
	}
	offset, timestamp, err := b.Refiner.Refine(ctx, *f.In, ts)
	if err != nil {
		b.complain(r, "refining", "offset by time answered from the index alone", err, "partition", q.Partition.String())
		return f
	}
	if offset != topic.NoOffset {
		f.Offset, f.Timestamp = offset, timestamp
	}
	return f
}

func (b *broker) fill(version int16, a offsetAsk, f segment.OffsetFound) {
	a.reply.ErrorCode = 0
	a.reply.Offset, a.reply.Timestamp = int64(f.Offset), f.Timestamp
	if f.Offset == topic.NoOffset {
		a.reply.Timestamp = -1
		return
	}
	switch a.query.Timestamp {
	case segment.TimestampLatest, segment.TimestampEarliest, segment.TimestampEarliestLocal:
		a.reply.Timestamp = -1
	}
	a.reply.LeaderEpoch = int32(b.Incarnation())
	if version == 0 {
		a.reply.OldStyleOffsets = []int64{int64(f.Offset)}
	}
}

// emptyOffset answers for the internal topic, which has one partition that is always empty.
func (b *broker) emptyOffset(rp *kmsg.ListOffsetsResponseTopicPartition, p kmsg.ListOffsetsRequestTopicPartition) {
	if p.Partition != 0 {
		rp.ErrorCode = kerr.UnknownTopicOrPartition.Code
		return
	}
	switch p.Timestamp {
	case segment.TimestampLatest, segment.TimestampEarliest, segment.TimestampEarliestLocal:
		rp.Offset, rp.LeaderEpoch, rp.OldStyleOffsets = 0, int32(b.Incarnation()), []int64{0}
	}
}

// retopic looks up the topics of asks again, past the cache.
func (b *broker) retopic(ctx context.Context, asks []offsetAsk) {
	names := make([]string, len(asks))
	for i, a := range asks {
		names[i] = a.topic
		b.Topics.Forget(a.topic)
	}
	topics, _ := b.Topics.lookupAll(ctx, names)
	for i := range asks {
		if t, ok := topics[asks[i].topic]; ok {
			asks[i].query.Partition.Topic = t.ID
		}
	}
}

// lookupCode is Kafka's code for an error of the topic cache: a confirmed one, or try again.
func (b *broker) lookupCode(r *wire.Request, err error) int16 {
	var confirmed *CodeError
	if errors.As(err, &confirmed) {
		return confirmed.Code
	}
	b.complain(r, "topics", "topic not looked up", err)
	return failedCode(err)
}

// failedCode is the code for topics when the control plane gave no answer, or none but that it gives none.
func failedCode(err error) int16 {
	if errors.Is(err, topic.ErrDenied) {
		return kerr.TopicAuthorizationFailed.Code
	}
	return kerr.LeaderNotAvailable.Code
}
