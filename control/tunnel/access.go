package tunnel

import (
	"fmt"
	"strings"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// look asks the walls in the state as it is, and leaves no trace: for what is shown or left out.
func (t *Tunnel) look(s *control.State, c *call, what control.Call) control.Decision {
	what.Kind, what.Key = control.CallTunnel, c.req.Key()
	return s.Allow(c.who, what)
}

// ask asks the walls; nil: allowed. otherwise is the code where the wall names none.
func (t *Tunnel) ask(s *control.State, c *call, what control.Call, otherwise int16) *fault {
	d := t.look(s, c, what)
	if d.Allowed {
		return nil
	}
	t.metrics.denied.Inc()
	t.log.Info("call denied", "api", c.req.Key(), "client", c.from.GetClientId(), "host", c.from.GetClientHost(),
		"agent_group", c.who.Group, "topic", what.Topic, "consumer_group", what.Group, "reason", d.Reason)
	if t.onDenied != nil {
		t.onDenied(c.who, c.req.Key(), what, d.Reason)
	}
	code := d.Code
	if code == 0 {
		code = otherwise
	}
	return &fault{code, d.Reason}
}

// askGroupIn asks the walls about a consumer group. Kafka has a code of its own for it.
func (t *Tunnel) askGroupIn(s *control.State, c *call, group string) int16 {
	if t.ask(s, c, control.Call{Group: group}, codeGroupDenied) != nil {
		return codeGroupDenied
	}
	return 0
}

// askGroup does so in the state as it is now.
func (t *Tunnel) askGroup(c *call, group string) (code int16) {
	t.backend.Peek(func(s *control.State) { code = t.askGroupIn(s, c, group) })
	return code
}

// askTopic asks the walls about a topic.
func (t *Tunnel) askTopic(s *control.State, c *call, tp topic.Topic) *fault {
	return t.ask(s, c, control.Call{Topic: tp.Name, Share: tp.Share}, codeTopicDenied)
}

// askCluster asks the walls about a call that concerns no topic and no group.
func (t *Tunnel) askCluster(s *control.State, c *call) *fault {
	return t.ask(s, c, control.Call{}, codeClusterDenied)
}

// shows reports whether the caller may know of a topic. One that it may not know of does not exist for it.
func (t *Tunnel) shows(s *control.State, c *call, tp topic.Topic) bool {
	return s.Allow(c.who, control.Call{Kind: control.CallTopics, Topic: tp.Name, Share: tp.Share}).Allowed
}

// used reports whether a consumer group has committed an offset of a partition: it knows of it, and is told that it is
// denied where others are told that there is none. Told so, a consumer keeps its place for the day that it is let in again.
func used(s *control.State, group string, tp topic.Topic, partition int32) bool {
	_, yes := s.Offset(group, topic.Partition{Topic: tp.ID, Index: partition})
	return yes
}

// findTopic finds a topic that the caller may know of, and asks whether it may do with it what it wants.
func (t *Tunnel) findTopic(s *control.State, c *call, name string) (topic.Topic, *fault) {
	tp, known := s.TopicByName(name)
	if !known || !t.shows(s, c, tp) {
		return topic.Topic{}, &fault{codeUnknownTopicOrPartition, fmt.Sprintf("there is no topic %s", safe(name))}
	}
	return tp, t.askTopic(s, c, tp)
}

// safe shows a text of a client in an answer or a log line.
func safe(s string) string {
	const most = 256
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "?")
}
