package control

import (
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Apply carries out one command and answers it. The same commands in the same order give the
// same answers and the same state, on any machine and at any time (I4).
//
// It never panics, whatever the command holds: a command that makes no sense is answered with
// 42 and does nothing but move the time.
func (s *State) Apply(c *controlpb.Command) Result {
	before := s.time
	s.time = max(s.time, c.GetTime())
	var r Result
	switch op := c.GetOp().(type) {
	case *controlpb.Command_Commit:
		r.Reply, r.Events = s.commit(op.Commit)
	case *controlpb.Command_Login:
		s.login(op.Login, &r)
	case *controlpb.Command_EndSession:
		s.endSession(op.EndSession.GetSession())
	case *controlpb.Command_CreateTopic:
		s.createTopic(op.CreateTopic, &r)
	case *controlpb.Command_DeleteTopic:
		s.deleteTopic(op.DeleteTopic, &r)
	case *controlpb.Command_CreatePartitions:
		s.createPartitions(op.CreatePartitions, &r)
	case *controlpb.Command_AlterTopicConfig:
		r.Code = s.alterTopicConfig(op.AlterTopicConfig)
	case *controlpb.Command_InitProducer:
		s.initProducer(op.InitProducer, &r)
	case *controlpb.Command_CommitOffsets:
		r.Codes = s.commitOffsets(op.CommitOffsets)
	case *controlpb.Command_DeleteOffsets:
		r.Code, r.Codes = s.deleteOffsets(op.DeleteOffsets)
	case *controlpb.Command_SyncGroup:
		r.Code = s.syncGroup(op.SyncGroup)
	case *controlpb.Command_DeleteGroup:
		r.Code = s.deleteGroup(op.DeleteGroup.GetGroup())
	case *controlpb.Command_Elect:
		s.elect(op.Elect, before)
	case *controlpb.Command_ConfirmClock:
		s.frozen = false
	case *controlpb.Command_Tick:
		s.tick(&r)
	case *controlpb.Command_CreateShare:
		r.Code = s.createShare(op.CreateShare.GetShare())
	case *controlpb.Command_ChangeWalls:
		s.changeWalls(op.ChangeWalls, &r)
	case *controlpb.Command_ConsumeToken:
		s.consumeToken(op.ConsumeToken, &r)
	case *controlpb.Command_RotateKeys:
		s.rotateKeys(op.RotateKeys)
	case *controlpb.Command_Audit:
		s.takeAudit(op.Audit)
	case *controlpb.Command_Meter:
		s.takeMeter(op.Meter)
	default:
		r.Code = codeInvalidRequest
	}
	return r
}

// elect begins a leader's term. before is the state time before this command: if its own time is
// a jump that nobody confirms, that is where the clock stops. A freeze outlives terms; only
// ConfirmClock ends it.
func (s *State) elect(c *controlpb.ElectCommand, before int64) {
	s.term = max(s.term, c.GetTerm())
	s.electedAt = s.time
	if c.GetFrozen() && !s.frozen {
		s.frozen, s.frozenAt = true, before
	}
	was := s.limits
	s.limits.take(c.GetLimits())
	if s.limits != was {
		s.planAgenda(true) // what is due when depends on the limits
	}
}

// topicID reads an identifier of 16 bytes.
func topicID(b []byte) (topic.ID, bool) {
	if len(b) != len(topic.ID{}) {
		return topic.ID{}, false
	}
	return topic.ID(b), true
}
