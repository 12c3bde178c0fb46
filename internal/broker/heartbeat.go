package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// Heartbeat, key 12, versions 0 to 4: tunnelled. Every one is carried: the control plane alone
// knows whether the group rebalances.
func (b *broker) heartbeat() wire.API {
	return b.tunnelled(kmsg.Heartbeat, 0, 4, kerr.CoordinatorNotAvailable.Code, func(_ kmsg.Request, f fault) kmsg.Response {
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.ErrorCode = f.code
		return resp
	})
}
