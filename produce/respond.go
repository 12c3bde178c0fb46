package produce

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// pending is a request whose partitions are not all answered, or whose bytes are still read.
// After submit it belongs to the runner's goroutine.
type pending struct {
	h     *Handler
	req   *kmsg.ProduceRequest
	reply func(wire.Reply)
	slots []slot // one for each partition, in the order of the request

	waiting int    // batches that are not answered
	holding int    // batches whose bytes may still be read
	release func() // gives the frame's bytes back to the memory cap
	closing bool   // what became of a batch is not known: the connection is to be closed
	replied bool   // acks=0: answered when its batches were accepted
	abort   func() // ends the connection: all that an acks=0 client can be told afterwards
}

// slot is one partition of a request: its batch, and its answer.
type slot struct {
	p      *pending
	topic  string
	batch  Batch
	answer Answer
	faults []kmsg.ProduceResponseTopicPartitionErrorRecord
}

func newPending(h *Handler, req *kmsg.ProduceRequest, reply func(wire.Reply)) *pending {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	return &pending{h: h, req: req, reply: reply, slots: make([]slot, n)}
}

// partition is the partition index of the i-th slot.
func (p *pending) partition(i int) int32 {
	for t := range p.req.Topics {
		parts := p.req.Topics[t].Partitions
		if i < len(parts) {
			return parts[i].Partition
		}
		i -= len(parts)
	}
	return -1
}

func (s *slot) refuse(r *refusal) {
	s.answer = refused(r.code, r.text)
	s.faults = r.records
}

// answered is the writer's last word on the batch.
func (s *slot) answered(a Answer) {
	s.answer = a
	if a.Code == codeUnknownTopic || a.Code == codeUnknownTopicID {
		// The cache still knows a topic that the sequencer does not: it was deleted, or made anew.
		s.p.h.topics.Forget(s.topic)
	}
	s.p.oneDone()
}

// disconnected: nothing true can be said of the batch.
func (s *slot) disconnected() {
	s.p.closing = true
	s.p.oneDone()
}

func (p *pending) oneDone() {
	if p.waiting--; p.waiting == 0 {
		p.finish()
	}
}

// released: the batch's bytes are no longer read.
func (s *slot) released() {
	s.batch.Bytes = nil
	if s.p.holding--; s.p.holding == 0 {
		s.p.release()
	}
}

// silence prepares an acks=0 request: the returned function answers it as soon as its batches
// are accepted. It is nil for other requests, and for one of which anything was refused: that one
// is answered by closing its connection when the rest is done.
func (p *pending) silence() func() {
	if p.req.Acks != 0 || p.anyRefused() {
		return nil
	}
	p.replied = true
	reply := p.reply
	return func() { reply(wire.Reply{None: true}) }
}

func (p *pending) anyRefused() bool {
	for i := range p.slots {
		if p.slots[i].answer.Code != 0 {
			return true
		}
	}
	return false
}

// fail answers a request whose batches the runner did not take.
func (p *pending) fail(err error) {
	p.release()
	p.replied = false
	if !errors.Is(err, errFull) {
		p.closing = true // stopping, or the client has gone
	}
	for i := range p.slots {
		if s := &p.slots[i]; s.answer.Code == 0 {
			s.answer = refused(codeRetry, err.Error())
		}
	}
	p.finish()
}

// finish answers the request.
func (p *pending) finish() {
	switch {
	case p.replied:
		if p.closing || p.anyRefused() {
			p.abort()
		}
	case p.closing:
		p.reply(wire.Reply{Close: true})
	case p.req.Acks == 0:
		p.reply(wire.Reply{None: true, Close: p.anyRefused()})
	default:
		p.reply(wire.Reply{Body: p.response()})
	}
}

// response says of every partition what its slot says. Offsets are -1 on an error, but for the
// log start, which clients need to tell what UNKNOWN_PRODUCER_ID means.
func (p *pending) response() *kmsg.ProduceResponse {
	res := p.req.ResponseKind().(*kmsg.ProduceResponse)
	res.Topics = make([]kmsg.ProduceResponseTopic, len(p.req.Topics))
	parts := make([]kmsg.ProduceResponseTopicPartition, len(p.slots))
	i := 0
	for ti := range p.req.Topics {
		asked := &p.req.Topics[ti]
		t := &res.Topics[ti]
		t.Topic, t.TopicID = asked.Topic, asked.TopicID
		first := i
		for pi := range asked.Partitions {
			p.slots[i].fill(&parts[i], asked.Partitions[pi].Partition)
			i++
		}
		t.Partitions = parts[first:i:i]
	}
	return res
}

func (s *slot) fill(out *kmsg.ProduceResponseTopicPartition, index int32) {
	*out = kmsg.NewProduceResponseTopicPartition()
	out.Partition = index
	out.ErrorCode = s.answer.Code
	out.BaseOffset = int64(s.answer.Offset)
	out.LogStartOffset = int64(s.answer.LogStart)
	out.LogAppendTime = s.answer.AppendTime
	out.ErrorRecords = s.faults
	if s.answer.Code != 0 {
		out.BaseOffset = int64(topic.NoOffset)
		out.LogAppendTime = NoTimestamp
		if s.answer.Text != "" {
			out.ErrorMessage = &s.answer.Text
		}
	}
}
