package tunnel

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// DeleteTopics, key 20, versions 0 to 6.
//
// By name, and from version 6 by name or id, of which exactly one must be given
// (42). Unknown names are answered 3, unknown ids 100, the internal topic 17.
// Committed offsets go with their topic. A name that is created again has another id.
func deleteTopicsAPI() api { return api{key: 20, min: 0, max: 6, serve: (*Tunnel).deleteTopics} }

// doomed is one topic that is to be deleted.
type doomed struct {
	named bool // asked for by name
	name  string
	id    topic.ID
	fault *fault
}

func (t *Tunnel) deleteTopics(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.DeleteTopicsRequest)
	topics := doomedOf(req)
	err := t.backend.View(ctx, func(s *control.State) {
		seen := map[topic.ID]bool{}
		for _, d := range topics {
			t.findDoomed(s, c, d)
			if d.fault == nil && seen[d.id] {
				d.fault = &fault{codeInvalidRequest, "the request names the topic more than once"}
			}
			seen[d.id] = true
		}
	})
	if err != nil {
		return nil, err
	}
	if err := t.deleteDoomed(ctx, topics); err != nil {
		return nil, err
	}
	resp := kmsg.NewPtrDeleteTopicsResponse()
	for _, d := range topics {
		at := kmsg.NewDeleteTopicsResponseTopic()
		at.Topic, at.TopicID = &d.name, d.id
		if !d.named && d.name == "" {
			at.Topic = nil // the id is not known, or its name is not the caller's business
		}
		if d.fault != nil {
			at.ErrorCode, at.ErrorMessage = d.fault.code, d.fault.message()
		}
		resp.Topics = append(resp.Topics, at)
	}
	return resp, nil
}

func doomedOf(req *kmsg.DeleteTopicsRequest) []*doomed {
	var out []*doomed
	if req.Version < 6 {
		for _, name := range req.TopicNames {
			out = append(out, &doomed{named: true, name: name})
		}
		return out
	}
	for _, rt := range req.Topics {
		d := &doomed{named: rt.Topic != nil, name: text(rt.Topic), id: rt.TopicID}
		if d.named != d.id.IsZero() {
			d.fault = &fault{codeInvalidRequest, "give a topic's name or its id, and not both"}
		}
		out = append(out, d)
	}
	return out
}

// findDoomed finds the topic and asks whether the caller may delete it. One that
// the caller may not see is not told apart from one that does not exist.
func (t *Tunnel) findDoomed(s *control.State, c *call, d *doomed) {
	if d.fault != nil {
		return
	}
	unknown := &fault{codeUnknownTopicID, "there is no topic with this id"}
	tp, known := s.TopicByID(d.id)
	if d.named {
		unknown = &fault{codeUnknownTopicOrPartition, fmt.Sprintf("there is no topic %s", safe(d.name))}
		tp, known = s.TopicByName(d.name)
	}
	if !known || !t.shows(s, c, tp) {
		d.fault = unknown
		return
	}
	if f := t.askTopic(s, c, tp); f != nil {
		d.fault = f
		return
	}
	d.name, d.id = tp.Name, tp.ID
	if tp.Internal {
		d.fault = &fault{codeInvalidTopic, fmt.Sprintf("%s is internal and cannot be deleted", tp.Name)}
	}
}

func (t *Tunnel) deleteDoomed(ctx context.Context, topics []*doomed) error {
	var sound []*doomed
	for _, d := range topics {
		if d.fault == nil {
			sound = append(sound, d)
		}
	}
	for chunk := range slices.Chunk(sound, commandsAtOnce) {
		commands := make([]*controlpb.Command, len(chunk))
		for i, d := range chunk {
			commands[i] = &controlpb.Command{Op: &controlpb.Command_DeleteTopic{DeleteTopic: &controlpb.DeleteTopicCommand{Id: d.id[:]}}}
		}
		results, err := t.propose(ctx, commands...)
		if err != nil {
			return fmt.Errorf("delete topics: %w", err)
		}
		for i, d := range chunk {
			if d.fault = faultOf(results[i]); d.fault == nil {
				t.log.Info("topic deleted", "topic", d.name, "id", d.id)
			}
		}
	}
	return nil
}
