package tunnel

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// OffsetFetch, key 9, versions 0 to 9.
//
// A partition without a committed offset, an unknown topic and an unknown group
// are answered -1 with code 0: consumers take anything else for a failure. Null
// topics ask for everything the group has committed (v2+). From version 8 several
// groups are asked at once.
//
// Left out: require_stable (v7) has nothing to wait for while there are no
// transactions; member id and epoch (v9) belong to the newer group protocol and
// are not looked at; topic ids (v10).
func offsetFetchAPI() api { return api{key: 9, min: 0, max: 9, serve: (*Tunnel).offsetFetch} }

func (t *Tunnel) offsetFetch(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.OffsetFetchRequest)
	if _, err := t.serving(); err != nil {
		return nil, err
	}
	groups := req.Groups
	if req.Version < 8 {
		groups = []kmsg.OffsetFetchRequestGroup{asOneGroup(req)}
	}
	resp := kmsg.NewPtrOffsetFetchResponse()
	err := t.backend.View(ctx, func(s *control.State) {
		for _, g := range groups {
			resp.Groups = append(resp.Groups, t.fetchGroup(s, c, g, req.Version))
		}
	})
	if err != nil {
		return nil, err
	}
	if req.Version < 8 {
		fromOneGroup(resp)
	}
	return resp, nil
}

func (t *Tunnel) fetchGroup(s *control.State, c *call, g kmsg.OffsetFetchRequestGroup, version int16) kmsg.OffsetFetchResponseGroup {
	out := kmsg.NewOffsetFetchResponseGroup()
	out.Group = g.Group
	if out.ErrorCode = checkGroupName(g.Group, true); out.ErrorCode == 0 {
		out.ErrorCode = t.askGroupIn(s, c, g.Group)
	}
	switch {
	case out.ErrorCode != 0 && version < 2:
		// There is no other place for it.
		out.Topics = fetchTopics(g.Topics, func(string, int32) (committed, int16) { return nothing, out.ErrorCode })
	case out.ErrorCode != 0:
	case g.Topics == nil && version >= 2:
		out.Topics = t.fetchAll(s, c, g.Group)
	default:
		out.Topics = fetchTopics(g.Topics, func(name string, partition int32) (committed, int16) {
			tp, ok := s.TopicByName(name)
			switch {
			case !ok, !t.shows(s, c, tp) && !used(s, g.Group, tp, partition):
				return nothing, 0
			case !t.shows(s, c, tp), t.askTopic(s, c, tp) != nil:
				return nothing, codeTopicDenied
			}
			return offsetOf(s, g.Group, topic.Partition{Topic: tp.ID, Index: partition}), 0
		})
	}
	return out
}

func fetchTopics(topics []kmsg.OffsetFetchRequestGroupTopic, find func(string, int32) (committed, int16)) []kmsg.OffsetFetchResponseGroupTopic {
	var out []kmsg.OffsetFetchResponseGroupTopic
	for _, rt := range topics {
		at := kmsg.NewOffsetFetchResponseGroupTopic()
		at.Topic = rt.Topic
		for _, p := range rt.Partitions {
			found, code := find(rt.Topic, p)
			at.Partitions = append(at.Partitions, fetchedPartition(p, found, code))
		}
		out = append(out, at)
	}
	return out
}

// fetchAll tells everything that a group has committed in topics that the caller
// may see.
func (t *Tunnel) fetchAll(s *control.State, c *call, group string) []kmsg.OffsetFetchResponseGroupTopic {
	var out []kmsg.OffsetFetchResponseGroupTopic
	var last topic.ID
	visible := false
	s.EachOffset(group, func(p topic.Partition, o control.CommittedOffset) bool {
		if p.Topic != last {
			last = p.Topic
			tp, known := s.TopicByID(last)
			if visible = known && t.shows(s, c, tp) && t.askTopic(s, c, tp) == nil; visible {
				at := kmsg.NewOffsetFetchResponseGroupTopic()
				at.Topic = tp.Name
				out = append(out, at)
			}
		}
		if visible {
			at := &out[len(out)-1]
			at.Partitions = append(at.Partitions, fetchedPartition(p.Index, committedOf(o), 0))
		}
		return true
	})
	return out
}

func fetchedPartition(p int32, c committed, code int16) kmsg.OffsetFetchResponseGroupTopicPartition {
	out := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	out.Partition, out.Offset, out.LeaderEpoch, out.Metadata, out.ErrorCode = p, c.offset, c.epoch, kmsg.StringPtr(c.metadata), code
	return out
}

// asOneGroup and fromOneGroup make the older shape of the request and its answer
// one of the newer.
func asOneGroup(req *kmsg.OffsetFetchRequest) kmsg.OffsetFetchRequestGroup {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = req.Group
	if req.Topics != nil {
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for _, rt := range req.Topics {
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.Partitions = rt.Topic, rt.Partitions
		g.Topics = append(g.Topics, gt)
	}
	return g
}

func fromOneGroup(resp *kmsg.OffsetFetchResponse) {
	g := resp.Groups[0]
	resp.Groups, resp.ErrorCode = nil, g.ErrorCode
	for _, gt := range g.Topics {
		at := kmsg.NewOffsetFetchResponseTopic()
		at.Topic = gt.Topic
		for _, gp := range gt.Partitions {
			ap := kmsg.NewOffsetFetchResponseTopicPartition()
			ap.Partition, ap.Offset, ap.LeaderEpoch, ap.Metadata, ap.ErrorCode = gp.Partition, gp.Offset, gp.LeaderEpoch, gp.Metadata, gp.ErrorCode
			at.Partitions = append(at.Partitions, ap)
		}
		resp.Topics = append(resp.Topics, at)
	}
}
