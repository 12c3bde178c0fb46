package tunnel

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control/coordinator"
)

// LeaveGroup, key 13, versions 0 to 5.
//
// From version 3 several members leave at once, static ones by instance id alone
// if an operator wishes; each has its own code. Before that the one member's code
// stands on top. Reasons (v5) are logged.
func leaveGroupAPI() api { return api{key: 13, min: 0, max: 5, serve: (*Tunnel).leaveGroup} }

func (t *Tunnel) leaveGroup(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.LeaveGroupRequest)
	tm, err := t.serving()
	if err != nil {
		return nil, err
	}
	resp := kmsg.NewPtrLeaveGroupResponse()
	if resp.ErrorCode = checkGroupName(req.Group, false); resp.ErrorCode == 0 {
		resp.ErrorCode = t.askGroup(c, req.Group)
	}
	if resp.ErrorCode != 0 {
		return resp, nil
	}
	leavers := []coordinator.Leaver{{Member: req.MemberID}}
	if req.Version >= 3 {
		leavers = leavers[:0]
		for _, m := range req.Members {
			leavers = append(leavers, coordinator.Leaver{Member: m.MemberID, Instance: text(m.InstanceID)})
		}
	}
	var codes []int16
	err = tm.with(func(m *coordinator.Machine, now int64) { resp.ErrorCode, codes = m.Leave(now, req.Group, leavers) })
	if err != nil || resp.ErrorCode != 0 {
		return resp, err
	}
	if req.Version < 3 {
		resp.ErrorCode = codes[0]
		return resp, nil
	}
	for i, m := range req.Members {
		am := kmsg.NewLeaveGroupResponseMember()
		am.MemberID, am.InstanceID, am.ErrorCode = m.MemberID, m.InstanceID, codes[i]
		resp.Members = append(resp.Members, am)
		t.log.Debug("member leaves", "group", req.Group, "member", m.MemberID, "instance", text(m.InstanceID), "code", codes[i], "reason", text(m.Reason))
	}
	return resp, nil
}
