package tunnel

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// CreatePartitions, key 37, versions 0 to 3.
//
// A topic only grows: fewer partitions, or as many, are answered 37. An
// assignment must have an entry for each new partition (39) and has no effect.
// With validate_only everything is checked and nothing made.
//
// Left out: the timeout.
func createPartitionsAPI() api {
	return api{key: 37, min: 0, max: 3, serve: (*Tunnel).createPartitions}
}

func (t *Tunnel) createPartitions(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.CreatePartitionsRequest)
	asked := map[string]int{}
	for _, rt := range req.Topics {
		asked[rt.Topic]++
	}
	resp := kmsg.NewPtrCreatePartitionsResponse()
	ids := make([]topic.ID, len(req.Topics))
	faults := make([]*fault, len(req.Topics))
	err := t.backend.View(ctx, func(s *control.State) {
		for i, rt := range req.Topics {
			ids[i], faults[i] = t.checkGrowth(s, c, rt)
			if asked[rt.Topic] > 1 {
				faults[i] = &fault{codeInvalidRequest, "the request names the topic more than once"}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for i, rt := range req.Topics {
		at := kmsg.NewCreatePartitionsResponseTopic()
		at.Topic = rt.Topic
		if faults[i] == nil && !req.ValidateOnly {
			if faults[i], err = t.growTopic(ctx, ids[i], rt); err != nil {
				return nil, err
			}
		}
		if f := faults[i]; f != nil {
			at.ErrorCode, at.ErrorMessage = f.code, f.message()
		}
		resp.Topics = append(resp.Topics, at)
	}
	return resp, nil
}

func (t *Tunnel) checkGrowth(s *control.State, c *call, rt kmsg.CreatePartitionsRequestTopic) (topic.ID, *fault) {
	tp, f := t.findTopic(s, c, rt.Topic)
	if f != nil {
		return tp.ID, f
	}
	most := s.Limits().MaxTopicPartitions
	switch {
	case tp.Internal:
		return tp.ID, &fault{codeInvalidTopic, fmt.Sprintf("%s is internal and cannot grow", tp.Name)}
	case rt.Count == tp.Partitions:
		return tp.ID, &fault{codeInvalidPartitions, fmt.Sprintf("Topic already has %d partition(s).", tp.Partitions)}
	case rt.Count < tp.Partitions:
		return tp.ID, &fault{codeInvalidPartitions, fmt.Sprintf("The topic %s currently has %d partition(s); %d would not be an increase.", tp.Name, tp.Partitions, rt.Count)}
	case int(rt.Count) > most:
		return tp.ID, &fault{codeInvalidPartitions, fmt.Sprintf("A topic may have at most %d partitions.", most)}
	case rt.Assignment != nil && len(rt.Assignment) != int(rt.Count-tp.Partitions):
		return tp.ID, &fault{codeInvalidReplicaAssignment, fmt.Sprintf("Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", rt.Count-tp.Partitions, len(rt.Assignment))}
	}
	for _, a := range rt.Assignment {
		if f := checkReplicas(a.Replicas); f != nil {
			return tp.ID, f
		}
	}
	return tp.ID, nil
}

func (t *Tunnel) growTopic(ctx context.Context, id topic.ID, rt kmsg.CreatePartitionsRequestTopic) (*fault, error) {
	results, err := t.propose(ctx, &controlpb.Command{Op: &controlpb.Command_CreatePartitions{
		CreatePartitions: &controlpb.CreatePartitionsCommand{Id: id[:], Partitions: rt.Count},
	}})
	if err != nil {
		return nil, fmt.Errorf("create partitions of topic %s: %w", rt.Topic, err)
	}
	f := faultOf(results[0])
	if f == nil {
		t.log.Info("topic grown", "topic", rt.Topic, "id", id, "partitions", rt.Count)
	}
	return f, nil
}
