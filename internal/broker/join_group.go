package broker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// JoinGroup, key 11, versions 0 to 9: tunnelled and parked, for the control plane answers once the
// group is complete. Resent after a failover, a member that has an id is known by it; one without
// leaves at worst a member that never comes back, which times out.
func (b *broker) joinGroup() wire.API {
	return weighing(parkedWeight, b.api(kmsg.JoinGroup, 0, 9, func(ctx context.Context, r *wire.Request) (kmsg.Response, error) {
		req := r.Body.(*kmsg.JoinGroupRequest)
		wait := max(req.RebalanceTimeoutMillis, req.SessionTimeoutMillis, 0)
		return b.park(ctx, r, time.Duration(wait)*time.Millisecond, kerr.CoordinatorNotAvailable.Code, awayJoinGroup), nil
	}))
}

func awayJoinGroup(r kmsg.Request, f fault) kmsg.Response {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.ErrorCode = f.code
	resp.Generation = -1
	resp.MemberID = r.(*kmsg.JoinGroupRequest).MemberID
	if resp.Protocol = ptr(""); r.GetVersion() >= 7 {
		resp.Protocol = nil
	}
	return resp
}
