package fetch

import (
	"context"
	"fmt"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/sched"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// mostInflated bounds the records of one batch that is looked through for a timestamp, in bytes.
const mostInflated = 64 << 20

// Refine finds the first record at or after ts, in Unix milliseconds, inside a location: the
// exact answer to ListOffsets by time, of which the control plane knows the location only. The
// offset is topic.NoOffset when there is none.
func (h *Handler) Refine(ctx context.Context, in segment.Location, ts int64) (topic.Offset, int64, error) {
	ctx, cancel := h.sched.Timeout(ctx, h.cfg.ReadTimeout)
	defer cancel()
	n := &need{loc: in, class: coldClass}
	h.reader.acquire(ctx, []*need{n}, true, true)
	defer h.reader.release(n)
	data, err := h.reader.await(ctx, n)
	if err != nil {
		return topic.NoOffset, 0, fmt.Errorf("find time %d in %s at %d: %w", ts, in.Partition, in.Base, err)
	}
	base := in.Base
	for len(data) > 0 {
		b, rest, err := record.Split(data)
		if err != nil {
			return topic.NoOffset, 0, fmt.Errorf("find time %d in %s at %d: %w", ts, in.Partition, base, err)
		}
		if b.MaxTimestamp() >= ts {
			delta, at, found, err := h.firstAt(ctx, b, ts)
			if err != nil {
				return topic.NoOffset, 0, fmt.Errorf("find time %d in %s at %d: %w", ts, in.Partition, base, err)
			}
			if found {
				return base + topic.Offset(delta), at, nil
			}
		}
		base += topic.Offset(b.LastOffsetDelta()) + 1
		data = rest
	}
	return topic.NoOffset, 0, nil
}

// firstAt finds the first record of a batch at or after ts. Few batches are inflated at once.
func (h *Handler) firstAt(ctx context.Context, b record.Batch, ts int64) (delta int32, at int64, found bool, err error) {
	if b.LogAppendTime() {
		return 0, b.MaxTimestamp(), true, nil
	}
	if h.sched.Wait(ctx, sched.Never, h.inflating) != 0 {
		return 0, 0, false, ctx.Err()
	}
	defer func() { h.inflating <- struct{}{} }()
	for r, err := range record.Records(b, mostInflated) {
		if err != nil {
			return 0, 0, false, err
		}
		if r.Timestamp >= ts {
			return r.OffsetDelta, r.Timestamp, true, nil
		}
	}
	return 0, 0, false, nil
}
