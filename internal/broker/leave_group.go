package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// LeaveGroup, key 13, versions 0 to 5: tunnelled. Version 3 names several members.
func (b *broker) leaveGroup() wire.API {
	return b.tunnelled(kmsg.LeaveGroup, 0, 5, kerr.CoordinatorNotAvailable.Code, func(_ kmsg.Request, f fault) kmsg.Response {
		resp := kmsg.NewPtrLeaveGroupResponse()
		resp.ErrorCode = f.code
		return resp
	})
}
