package tunnel

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control/coordinator"
)

// SyncGroup, key 14, versions 0 to 5.
//
// Answered when the leader's assignment is stored. From version 3 members may be
// static; from 5 protocol type and name are checked (23) and answered.
func syncGroupAPI() api {
	return api{key: 14, min: 0, max: 5, parks: true, serve: (*Tunnel).syncGroup}
}

func (t *Tunnel) syncGroup(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.SyncGroupRequest)
	tm, err := t.serving()
	if err != nil {
		return nil, err
	}
	code := checkGroupName(req.Group, false)
	if code == 0 {
		code = t.askGroup(c, req.Group)
	}
	if code != 0 {
		return answerSync(&coordinator.SyncReply{Code: code}), nil
	}
	s := coordinator.Sync{
		Group: req.Group, Member: req.MemberID, Instance: text(req.InstanceID), Generation: req.Generation,
		ProtocolType: text(req.ProtocolType), Protocol: text(req.Protocol),
	}
	for _, a := range req.GroupAssignment {
		s.Assignments = append(s.Assignments, coordinator.Assignment{Member: a.MemberID, Data: a.MemberAssignment})
	}
	reply, err := tm.wait(ctx, func(m *coordinator.Machine, now int64, id coordinator.RequestID) {
		s.Request = id
		m.Sync(now, s)
	})
	if err != nil {
		return nil, err
	}
	if code := t.askGroup(c, req.Group); code != 0 { // the walls may have changed while it waited
		return answerSync(&coordinator.SyncReply{Code: code}), nil
	}
	return answerSync(reply.Sync), nil
}

func answerSync(r *coordinator.SyncReply) *kmsg.SyncGroupResponse {
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.ErrorCode = r.Code
	resp.ProtocolType, resp.Protocol = optional(r.ProtocolType), optional(r.Protocol)
	resp.MemberAssignment = some(r.Assignment)
	return resp
}
