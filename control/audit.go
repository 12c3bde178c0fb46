package control

import (
	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// Kinds of events that the state records by itself, when the command that they tell of is applied. Others, such as calls that
// were denied and bytes that were moved, are counted by the leader and come by AuditCommand.
const (
	AuditChange = "change" // of the walls
	AuditJoin   = "join"   // a join token was used
	AuditLogin  = "login"  // a session was opened
)

// maxAuditText bounds one text of an event, in bytes.
const maxAuditText = 1024

// record adds an event to the audit, and forgets the oldest when there are too many.
func (s *State) record(e *controlpb.AuditEvent) {
	s.nextEvent++
	e.Number = s.nextEvent
	if e.Time == 0 || e.Time > s.time {
		e.Time = s.time
	}
	for _, text := range []*string{&e.Kind, &e.Identity, &e.Binding, &e.Group, &e.Agent, &e.Grant, &e.Share, &e.Topic, &e.Detail} {
		if len(*text) > maxAuditText {
			*text = (*text)[:maxAuditText]
		}
	}
	s.audit.Set(e.Number, e)
	for s.audit.Len() > s.limits.MaxAuditEvents {
		s.audit.PopMin()
	}
}

// takeAudit records what the leader has counted.
func (s *State) takeAudit(c *controlpb.AuditCommand) {
	for _, e := range c.GetEvents() {
		s.record(proto.CloneOf(e))
	}
}

// maxAuditAnswer bounds the events of one answer.
const maxAuditAnswer = 1000

// Audit finds events, oldest first; more says that there may be others after the last one.
func (s *State) Audit(q *controlpb.AuditRequest) (found []*controlpb.AuditEvent, more bool) {
	most := maxAuditAnswer
	if n := int(q.GetLimit()); n > 0 && n < most {
		most = n
	}
	s.audit.Ascend(q.GetAfter()+1, func(_ uint64, e *controlpb.AuditEvent) bool {
		if !asked(q, e) {
			return true
		}
		if len(found) == most {
			more = true
			return false
		}
		found = append(found, e)
		return true
	})
	return found, more
}

func asked(q *controlpb.AuditRequest, e *controlpb.AuditEvent) bool {
	return (q.GetGroup() == "" || q.GetGroup() == e.GetGroup()) && (q.GetShare() == "" || q.GetShare() == e.GetShare()) &&
		(q.GetTopic() == "" || q.GetTopic() == e.GetTopic()) && e.GetTime() >= q.GetSince() && (q.GetUntil() == 0 || e.GetTime() < q.GetUntil())
}
