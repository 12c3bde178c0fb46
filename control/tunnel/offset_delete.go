package tunnel

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/coordinator"
)

// OffsetDelete, key 47, version 0.
//
// Deletes offsets of a group: of any topic while it has no members, and of topics
// that nobody subscribes to (else 86) while consumers are in it. A group of other
// members is answered 68.
func offsetDeleteAPI() api { return api{key: 47, min: 0, max: 0, serve: (*Tunnel).offsetDelete} }

func (t *Tunnel) offsetDelete(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.OffsetDeleteRequest)
	tm, err := t.serving()
	if err != nil {
		return nil, err
	}
	resp := kmsg.NewPtrOffsetDeleteResponse()
	if resp.ErrorCode = t.askGroup(c, req.Group); resp.ErrorCode == 0 && checkGroupName(req.Group, true) != 0 {
		resp.ErrorCode = codeGroupNotFound
	}
	if resp.ErrorCode != 0 {
		return resp, nil
	}
	var subscribed map[string]bool
	err = tm.with(func(m *coordinator.Machine, _ int64) {
		if d, _ := m.Describe(req.Group); len(d.Members) > 0 {
			subscribed, resp.ErrorCode = subscriptions(d)
		}
	})
	if err != nil || resp.ErrorCode != 0 {
		return resp, err
	}
	places, err := t.resolveDelete(ctx, c, req, resp, subscribed)
	if err != nil {
		return nil, err
	}
	return resp, tm.deleteOffsets(ctx, req.Group, places, resp)
}

// subscriptions are the topics that the members of a group of consumers subscribe
// to. Groups whose subscriptions cannot be read are not touched while they live.
func subscriptions(d coordinator.Description) (map[string]bool, int16) {
	if d.ProtocolType != "consumer" || d.State != coordinator.Stable {
		return nil, codeNonEmptyGroup
	}
	topics := map[string]bool{}
	for _, m := range d.Members {
		meta := kmsg.NewConsumerMemberMetadata()
		if meta.ReadFrom(m.Metadata) != nil {
			return nil, codeNonEmptyGroup
		}
		for _, name := range meta.Topics {
			topics[name] = true
		}
	}
	return topics, 0
}

// resolveDelete answers what needs no command, and returns where the others stand.
func (t *Tunnel) resolveDelete(ctx context.Context, c *call, req *kmsg.OffsetDeleteRequest, resp *kmsg.OffsetDeleteResponse, subscribed map[string]bool) (places []deletePlace, err error) {
	err = t.backend.View(ctx, func(s *control.State) {
		if !hasGroup(s, req.Group) {
			resp.ErrorCode = codeGroupNotFound
			return
		}
		for _, rt := range req.Topics {
			at := kmsg.NewOffsetDeleteResponseTopic()
			at.Topic = rt.Topic
			tp, known := s.TopicByName(rt.Topic)
			for _, rp := range rt.Partitions {
				ap := kmsg.NewOffsetDeleteResponseTopicPartition()
				ap.Partition = rp.Partition
				switch {
				case !known || !t.shows(s, c, tp) && !used(s, req.Group, tp, rp.Partition) || rp.Partition < 0 || rp.Partition >= tp.Partitions:
					ap.ErrorCode = codeUnknownTopicOrPartition
				case !t.shows(s, c, tp), t.askTopic(s, c, tp) != nil:
					ap.ErrorCode = codeTopicDenied
				case subscribed[rt.Topic]:
					ap.ErrorCode = codeGroupSubscribed
				default:
					places = append(places, deletePlace{len(resp.Topics), len(at.Partitions), &controlpb.Partition{TopicId: tp.ID[:], Index: rp.Partition}})
				}
				at.Partitions = append(at.Partitions, ap)
			}
			resp.Topics = append(resp.Topics, at)
		}
	})
	return places, err
}

// deletePlace is where the answer for one partition stands.
type deletePlace struct {
	topic, partition int
	which            *controlpb.Partition
}

func (tm *term) deleteOffsets(ctx context.Context, group string, places []deletePlace, resp *kmsg.OffsetDeleteResponse) error {
	if len(places) == 0 {
		return nil
	}
	cmd := &controlpb.DeleteOffsetsCommand{Group: group}
	for _, p := range places {
		cmd.Partitions = append(cmd.Partitions, p.which)
	}
	ch := make(chan answered, 1)
	err := tm.enqueue([]*controlpb.Command{{Op: &controlpb.Command_DeleteOffsets{DeleteOffsets: cmd}}},
		func(rs []control.Result, err error) { ch <- answered{rs, err} })
	if err != nil {
		return err
	}
	rs, err := await(ctx, ch)
	if err != nil {
		return err
	}
	if resp.ErrorCode = rs[0].Code; resp.ErrorCode != 0 {
		return nil
	}
	for i, p := range places {
		if i < len(rs[0].Codes) {
			resp.Topics[p.topic].Partitions[p.partition].ErrorCode = rs[0].Codes[i]
		}
	}
	return nil
}
