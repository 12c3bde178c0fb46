package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// ListGroups, key 16, versions 0 to 5: tunnelled. Every agent lists all groups that its group may
// see; clients that ask every broker merge by name.
func (b *broker) listGroups() wire.API {
	return b.tunnelled(kmsg.ListGroups, 0, 5, kerr.CoordinatorNotAvailable.Code, func(_ kmsg.Request, f fault) kmsg.Response {
		resp := kmsg.NewPtrListGroupsResponse()
		resp.ErrorCode = f.code
		return resp
	})
}
