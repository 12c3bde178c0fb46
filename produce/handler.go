package produce

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// Handler answers Produce, versions 3 to 11 (0 to 2 are advertised only: see internal/wire).
//
// Batches of a connection reach the writer in the order in which they were read. Each partition
// of a request is answered for itself: one that is refused takes no other down. acks=1 waits like
// acks=all, for there is no weaker promise to give; acks=0 is answered by nothing, and by a closed
// connection when anything is wrong with the request.
//
// Left out: transactions (48), topic ids (version 13), hints at other leaders (any agent with the
// role serves any partition), and throttling (slow clients are slowed by not reading them).
type Handler struct {
	cfg    Config
	topics Topics
	runner *Runner
	log    *wire.RateLog
}

// NewHandler makes a handler whose batches go to runner.
func NewHandler(topics Topics, runner *Runner) *Handler {
	return &Handler{cfg: runner.cfg, topics: topics, runner: runner, log: wire.NewRateLog(runner.log, 10*time.Second)}
}

// API registers h.
func API(h *Handler) wire.API { return wire.ProduceAPI(h) }

var _ wire.Handler = (*Handler)(nil)

// Serve checks a request and hands its batches to the writer.
func (h *Handler) Serve(ctx context.Context, r *wire.Request, reply func(wire.Reply)) {
	req, ok := r.Body.(*kmsg.ProduceRequest)
	if !ok {
		reply(wire.Reply{Close: true})
		return
	}
	h.runner.m.requests.WithLabelValues(acksLabel(req.Acks)).Inc()
	p := newPending(h, req, reply)
	p.abort = r.Conn.Abort
	batches := h.accept(ctx, p)
	if ctx.Err() != nil {
		reply(wire.Reply{Close: true})
		return
	}
	p.report(h.log, r)
	if len(batches) == 0 {
		p.finish()
		return
	}
	h.runner.deps.count(batches)
	p.release = r.Hold()
	p.waiting, p.holding = len(batches), len(batches)
	// From submit on, the runner's goroutine may answer at any moment. What must be said before
	// an acks=0 request is let go is said before.
	silent := p.silence()
	if err := h.runner.submit(ctx, time.Duration(req.TimeoutMillis)*time.Millisecond, batches); err != nil {
		p.fail(err)
		return
	}
	if silent != nil {
		silent()
	}
}

// accept checks every partition and returns the batches of those that are fine. The slots of the
// others hold their answers.
func (h *Handler) accept(ctx context.Context, p *pending) []*Batch {
	batches := make([]*Batch, 0, len(p.slots))
	now := h.runner.deps.Wall().UnixMilli()
	i := 0
	for ti := range p.req.Topics {
		t := &p.req.Topics[ti]
		found, r := h.lookupAll(ctx, p.req.Acks, t)
		for pi := range t.Partitions {
			s := &p.slots[i]
			i++
			s.p, s.topic = p, t.Topic
			if r != nil {
				s.refuse(r)
				continue
			}
			if bad := h.check(s, &found, &t.Partitions[pi], now); bad != nil {
				s.refuse(bad)
				continue
			}
			h.runner.m.batchBytes.Add(float64(len(s.batch.Bytes)))
			batches = append(batches, &s.batch)
		}
	}
	return batches
}

// check looks at one partition of a request and, when all is well, fills in its batch.
func (h *Handler) check(s *slot, t *topic.Topic, part *kmsg.ProduceRequestTopicPartition, now int64) *refusal {
	if bad := checkPartition(t, part.Partition); bad != nil {
		return bad
	}
	b, bad := checkRecords(part.Records)
	if bad != nil {
		return bad
	}
	if bad := checkHeader(b, t, s.p.req.Version, now); bad != nil {
		return bad
	}
	if h.cfg.Validation == ValidateDeep {
		if bad := checkDeep(b, t, now, h.cfg.MaxInflated); bad != nil {
			return bad
		}
	}
	s.batch = Batch{
		Ref: s, Share: t.Share, Partition: topic.Partition{Topic: t.ID, Index: part.Partition}, Bytes: b,
		AppendTime: t.Config.TimestampType == topic.LogAppendTime,
		Patience:   time.Duration(s.p.req.TimeoutMillis) * time.Millisecond,
	}
	return nil
}

// lookupAll finds a topic, past the cache when the cached one lacks a partition that is written to:
// it may have grown, and "unknown" is said only after a confirmed read (I9).
func (h *Handler) lookupAll(ctx context.Context, acks int16, t *kmsg.ProduceRequestTopic) (topic.Topic, *refusal) {
	found, r := h.lookup(ctx, acks, t.Topic)
	grown := func(p kmsg.ProduceRequestTopicPartition) bool { return p.Partition >= found.Partitions }
	if r != nil || found.Internal || !slices.ContainsFunc(t.Partitions, grown) {
		return found, r
	}
	h.topics.Forget(t.Topic)
	return h.lookup(ctx, acks, t.Topic)
}

// lookup finds a topic, or says why nothing can be written to it.
func (h *Handler) lookup(ctx context.Context, acks int16, name string) (topic.Topic, *refusal) {
	if acks < -1 || acks > 1 {
		return topic.Topic{}, refuse(codeAcks, "acks must be -1, 0 or 1, not %d", acks)
	}
	t, err := h.topics.Lookup(ctx, name)
	var known interface{ KafkaCode() int16 }
	switch {
	case err == nil:
		return t, nil
	case errors.Is(err, topic.ErrUnknown):
		return t, refuse(codeUnknownTopic, "topic %q does not exist, or this group may not see it", name)
	case errors.Is(err, topic.ErrDenied):
		return t, refuse(codeUnauthorized, "topic %q: %v", name, err)
	case errors.As(err, &known):
		return t, refuse(known.KafkaCode(), "topic %q: %v", name, err)
	default:
		return t, refuse(codeRetry, "look up topic %q: %v", name, err)
	}
}

// report logs what a client did wrong, at most once in a while.
func (p *pending) report(log *wire.RateLog, r *wire.Request) {
	for i := range p.slots {
		s := &p.slots[i]
		if s.answer.Code == 0 || s.answer.Code == codeRetry {
			continue
		}
		args := []any{"topic", s.topic, "partition", p.partition(i), "code", s.answer.Code, "reason", s.answer.Text, slog.String("client_id", r.ClientID)}
		if r.Conn != nil {
			args = append(args, "remote", r.Conn.RemoteHost())
		}
		log.Warn("refused "+r.ClientID, "produce refused", args...)
		return
	}
}
