package tunnel

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control/coordinator"
)

// JoinGroup, key 11, versions 0 to 9.
//
// Answered when the group has gathered. From version 4 a new dynamic member is
// sent back with its id first (79); from 5 members may be static (82 fences a
// former life); from 9 a static leader that returns may be told to skip the
// assignment. Version 0 has no rebalance timeout: its session timeout stands for
// it. The reason (v8) is logged.
func joinGroupAPI() api {
	return api{key: 11, min: 0, max: 9, parks: true, serve: (*Tunnel).joinGroup}
}

func (t *Tunnel) joinGroup(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.JoinGroupRequest)
	tm, err := t.serving()
	if err != nil {
		return nil, err
	}
	if code := t.checkJoin(req, c); code != 0 {
		return answerJoin(req, &coordinator.JoinReply{Code: code, Generation: -1, Member: req.MemberID}), nil
	}
	if code := t.askGroup(c, req.Group); code != 0 {
		return answerJoin(req, &coordinator.JoinReply{Code: code, Generation: -1, Member: req.MemberID}), nil
	}
	join := joinOf(req, c)
	reply, err := tm.wait(ctx, func(m *coordinator.Machine, now int64, id coordinator.RequestID) {
		join.Request = id
		m.Join(now, join)
	})
	if err != nil {
		return nil, err
	}
	if code := t.askGroup(c, req.Group); code != 0 { // the walls may have changed while it waited
		return answerJoin(req, &coordinator.JoinReply{Code: code, Generation: -1, Member: req.MemberID}), nil
	}
	if reply.Join.Code == 0 {
		t.log.Debug("member joined", "group", req.Group, "member", reply.Join.Member, "generation", reply.Join.Generation, "reason", text(req.Reason))
	}
	return answerJoin(req, reply.Join), nil
}

// checkJoin refuses what could not be stored.
func (t *Tunnel) checkJoin(req *kmsg.JoinGroupRequest, c *call) int16 {
	if code := checkGroupName(req.Group, false); code != 0 {
		return code
	}
	if !storable(req.MemberID, text(req.InstanceID), req.ProtocolType, c.from.GetClientId(), c.from.GetClientHost()) {
		return codeInvalidRequest
	}
	for _, p := range req.Protocols {
		if !storable(p.Name) {
			return codeInvalidRequest
		}
	}
	return 0
}

func joinOf(req *kmsg.JoinGroupRequest, c *call) coordinator.Join {
	j := coordinator.Join{
		Group: req.Group, Member: req.MemberID, Instance: text(req.InstanceID),
		ClientID: c.from.GetClientId(), ClientHost: c.from.GetClientHost(), Random: uuid(),
		RequireMember: req.Version >= 4, SkipAssignment: req.Version >= 9,
		SessionTimeoutMs: req.SessionTimeoutMillis, RebalanceTimeoutMs: req.RebalanceTimeoutMillis,
		ProtocolType: req.ProtocolType,
	}
	if req.Version < 1 || j.RebalanceTimeoutMs < 0 {
		j.RebalanceTimeoutMs = j.SessionTimeoutMs
	}
	for _, p := range req.Protocols {
		j.Protocols = append(j.Protocols, coordinator.Protocol{Name: p.Name, Metadata: p.Metadata})
	}
	return j
}

// uuid draws a random UUID of version 4.
func uuid() string {
	b := randomID()
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func randomID() [16]byte {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return b
}

func answerJoin(req *kmsg.JoinGroupRequest, r *coordinator.JoinReply) *kmsg.JoinGroupResponse {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.ErrorCode, resp.Generation, resp.LeaderID, resp.MemberID = r.Code, r.Generation, r.Leader, r.Member
	resp.SkipAssignment = r.SkipAssignment
	resp.ProtocolType, resp.Protocol = optional(r.ProtocolType), optional(r.Protocol)
	if req.Version < 7 {
		resp.Protocol = &r.Protocol
	}
	for _, m := range r.Members {
		am := kmsg.NewJoinGroupResponseMember()
		am.MemberID, am.InstanceID, am.ProtocolMetadata = m.ID, optional(m.Instance), m.Metadata
		resp.Members = append(resp.Members, am)
	}
	return resp
}
