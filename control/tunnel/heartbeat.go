package tunnel

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control/coordinator"
)

// Heartbeat, key 12, versions 0 to 4. It lives in the leader's memory alone: after
// an election every member has its whole session timeout again.
func heartbeatAPI() api { return api{key: 12, min: 0, max: 4, serve: (*Tunnel).heartbeat} }

func (t *Tunnel) heartbeat(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.HeartbeatRequest)
	tm, err := t.serving()
	if err != nil {
		return nil, err
	}
	resp := kmsg.NewPtrHeartbeatResponse()
	if resp.ErrorCode = checkGroupName(req.Group, false); resp.ErrorCode == 0 {
		resp.ErrorCode = t.askGroup(c, req.Group)
	}
	if resp.ErrorCode != 0 {
		return resp, nil
	}
	err = tm.with(func(m *coordinator.Machine, now int64) {
		resp.ErrorCode = m.Heartbeat(now, coordinator.Identity{
			Group: req.Group, Member: req.MemberID, Instance: text(req.InstanceID), Generation: req.Generation,
		})
	})
	return resp, err
}
