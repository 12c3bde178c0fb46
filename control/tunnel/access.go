package tunnel

import (
	"context"
	"strings"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// ask asks the walls; nil: allowed. otherwise is the code where the wall names none.
func (t *Tunnel) ask(who control.Caller, c *call, what control.Call, otherwise int16) *fault {
	what.Kind, what.Key = control.CallTunnel, c.req.Key()
	d := control.Allow(who, what)
	if d.Allowed {
		return nil
	}
	t.metrics.denied.Inc()
	t.log.Info("call denied", "api", c.req.Key(), "client", c.from.GetClientId(), "host", c.from.GetClientHost(),
		"agent_group", who.Group, "topic", what.Topic, "consumer_group", what.Group, "reason", d.Reason)
	code := d.Code
	if code == 0 {
		code = otherwise
	}
	return &fault{code, d.Reason}
}

// askGroup asks the walls about a consumer group. Kafka has a code of its own for it.
func (t *Tunnel) askGroup(who control.Caller, c *call, group string) int16 {
	if t.ask(who, c, control.Call{Group: group}, codeGroupDenied) != nil {
		return codeGroupDenied
	}
	return 0
}

// askTopic asks the walls about a topic.
func (t *Tunnel) askTopic(who control.Caller, c *call, tp topic.Topic) *fault {
	return t.ask(who, c, control.Call{Topic: tp.Name, Share: tp.Share}, codeTopicDenied)
}

// caller finds out who asks. What a session may do is fixed for its life, so it
// is read once; a session that is not known yet is read again each time.
func (t *Tunnel) caller(ctx context.Context, r *controlpb.CallRequest) (control.Caller, error) {
	session := r.GetSession()
	if session == 0 {
		return control.Caller{Admin: true, Open: true}, nil
	}
	if who, ok := t.callers.Get(session); ok {
		return who, nil
	}
	who, known := control.Caller{Session: session}, false
	err := t.backend.View(ctx, func(s *control.State) {
		x, ok := s.Session(session)
		if known = ok; ok {
			who = x.Caller()
		}
	})
	if err == nil && known {
		t.callers.Add(session, who)
	}
	return who, err
}

// askCluster asks the walls about a call that concerns no topic and no group.
func (t *Tunnel) askCluster(who control.Caller, c *call) *fault {
	return t.ask(who, c, control.Call{}, codeClusterDenied)
}

// safe shows a text of a client in an answer or a log line.
func safe(s string) string {
	const most = 256
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "?")
}
