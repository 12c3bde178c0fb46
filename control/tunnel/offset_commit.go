package tunnel

import (
	"context"
	"errors"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/coordinator"
	"github.com/isthmusdata/isthmus/control/desk"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// OffsetCommit, key 8, versions 0 to 9.
//
// Offsets are committed by a member of the running generation, or, without a
// generation (-1), by anyone while the group is empty or unknown: that is how
// consumers with assigned partitions and operators' tools commit. The last write
// wins. Metadata and leader epoch are kept; metadata above the bound is answered
// 12. Unknown topics and partitions are answered 3, one by one.
//
// Left out: retention per request (v2 to v4) and timestamps (v1), as in Kafka 4;
// topic ids (v10); member epochs of the newer group protocol (v9 carries them in
// the same field, and no such group exists here).
func offsetCommitAPI() api { return api{key: 8, min: 0, max: 9, serve: (*Tunnel).offsetCommit} }

func (t *Tunnel) offsetCommit(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.OffsetCommitRequest)
	tm, err := t.serving()
	if err != nil {
		return nil, err
	}
	if code := checkGroupName(req.Group, true); code != 0 {
		return answerCommit(req, func(int, int) int16 { return code }), nil
	}
	if code := t.askGroup(c, req.Group); code != 0 {
		return answerCommit(req, func(int, int) int16 { return code }), nil
	}
	codes, offsets, places, err := t.resolveCommit(ctx, c, req)
	if err != nil {
		return nil, err
	}
	if len(offsets) == 0 {
		return answerCommit(req, codes.at), nil
	}
	results, err := tm.commit(ctx, commitIdentity(req), notFoundCode(req.Version), offsets)
	if err != nil {
		return nil, err
	}
	for i, p := range places {
		codes[p[0]][p[1]] = results[i]
	}
	return answerCommit(req, codes.at), nil
}

// commitCodes holds a code for each partition of each topic of the request.
type commitCodes [][]int16

func (c commitCodes) at(topic, partition int) int16 { return c[topic][partition] }

// resolveCommit checks what does not depend on the group: which topics and
// partitions exist, and what is said of them.
func (t *Tunnel) resolveCommit(ctx context.Context, c *call, req *kmsg.OffsetCommitRequest) (codes commitCodes, offsets []*controlpb.GroupOffset, places [][2]int, err error) {
	codes = make(commitCodes, len(req.Topics))
	err = t.backend.View(ctx, func(s *control.State) {
		for i, rt := range req.Topics {
			codes[i] = make([]int16, len(rt.Partitions))
			tp, known := s.TopicByName(rt.Topic)
			hidden := known && !t.shows(s, c, tp)
			for j, rp := range rt.Partitions {
				if codes[i][j] = t.checkCommitted(tp, known && (!hidden || used(s, req.Group, tp, rp.Partition)), rp); codes[i][j] != 0 {
					continue
				}
				if hidden || t.askTopic(s, c, tp) != nil {
					codes[i][j] = codeTopicDenied
					continue
				}
				places = append(places, [2]int{i, j})
				offsets = append(offsets, &controlpb.GroupOffset{
					Group: req.Group, TopicId: tp.ID[:], Partition: rp.Partition,
					Offset: rp.Offset, LeaderEpoch: commitEpoch(req.Version, rp), Metadata: text(rp.Metadata),
				})
			}
		}
	})
	return codes, offsets, places, err
}

// checkCommitted looks at one partition of a commit. The offset may be negative: kafkajs commits -2 to reset
// a group to the earliest record, and Kafka keeps and returns any number.
func (t *Tunnel) checkCommitted(tp topic.Topic, known bool, p kmsg.OffsetCommitRequestTopicPartition) int16 {
	switch m := text(p.Metadata); {
	case !known, p.Partition < 0, p.Partition >= tp.Partitions:
		return codeUnknownTopicOrPartition
	case len(m) > t.cfg.OffsetMetadataMaxBytes:
		return codeOffsetMetadataTooLarge
	case !utf8.ValidString(m):
		return codeInvalidRequest
	}
	return 0
}

// commitEpoch is the leader epoch beside an offset: -1 is "not known".
func commitEpoch(version int16, p kmsg.OffsetCommitRequestTopicPartition) int32 {
	if version < 6 || p.LeaderEpoch < 0 {
		return -1
	}
	return p.LeaderEpoch
}

func commitIdentity(req *kmsg.OffsetCommitRequest) coordinator.Identity {
	who := coordinator.Identity{Group: req.Group, Member: req.MemberID, Instance: text(req.InstanceID), Generation: req.Generation}
	if req.Version < 1 {
		who.Generation = -1
	}
	return who
}

// notFoundCode answers a member of a group that is not known; Kafka changed it in version 9.
func notFoundCode(version int16) int16 {
	if version >= 9 {
		return codeGroupNotFound
	}
	return codeIllegalGeneration
}

// commit asks whether the sender may commit and, in the same moment, puts the
// offsets behind everything that was accepted before. It answers with a code for
// each offset.
func (tm *term) commit(ctx context.Context, who coordinator.Identity, notFound int16, offsets []*controlpb.GroupOffset) ([]int16, error) {
	ch := make(chan answered, 1)
	var refused int16
	err := tm.at(func(d *desk.Desk, now int64) {
		if d.Bytes() >= tm.t.cfg.QueueBytes {
			refused = codeCoordinatorNotAvailable
			return
		}
		refused = d.Commit(now, who, notFound, offsets, func(rs []control.Result, err error) { ch <- answered{rs, err} })
	})
	if err != nil || refused != 0 {
		return repeat(refused, len(offsets)), err
	}
	results, err := await(ctx, ch)
	if err != nil {
		return nil, err
	}
	codes := make([]int16, 0, len(offsets))
	for _, r := range results {
		codes = append(codes, r.Codes...)
	}
	if len(codes) != len(offsets) {
		return nil, errors.New("commit offsets: the state did not answer each of them")
	}
	return codes, nil
}

func repeat(code int16, n int) []int16 {
	codes := make([]int16, n)
	for i := range codes {
		codes[i] = code
	}
	return codes
}

func answerCommit(req *kmsg.OffsetCommitRequest, code func(topic, partition int) int16) *kmsg.OffsetCommitResponse {
	resp := kmsg.NewPtrOffsetCommitResponse()
	for i, rt := range req.Topics {
		at := kmsg.NewOffsetCommitResponseTopic()
		at.Topic = rt.Topic
		for j, rp := range rt.Partitions {
			ap := kmsg.NewOffsetCommitResponseTopicPartition()
			ap.Partition, ap.ErrorCode = rp.Partition, code(i, j)
			at.Partitions = append(at.Partitions, ap)
		}
		resp.Topics = append(resp.Topics, at)
	}
	return resp
}
