package broker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// syncWait is how long followers wait for their leader's assignment: the request does not say. The
// control plane ends it with the rebalance timeout of the group, which is five minutes by default.
const syncWait = 10 * time.Minute

// SyncGroup, key 14, versions 0 to 5: tunnelled and parked, for followers wait for the leader's
// assignment. Resending it changes nothing: the first assignment of a generation stands.
func (b *broker) syncGroup() wire.API {
	return weighing(parkedWeight, b.api(kmsg.SyncGroup, 0, 5, func(ctx context.Context, r *wire.Request) (kmsg.Response, error) {
		return b.park(ctx, r, syncWait, kerr.CoordinatorNotAvailable.Code, func(_ kmsg.Request, f fault) kmsg.Response {
			resp := kmsg.NewPtrSyncGroupResponse()
			resp.ErrorCode = f.code
			return resp
		}), nil
	}))
}
