package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// OffsetDelete, key 47, version 0: tunnelled; a topic that the group subscribes to keeps its
// offsets (86 per partition).
func (b *broker) offsetDelete() wire.API {
	return b.tunnelled(kmsg.OffsetDelete, 0, 0, kerr.CoordinatorNotAvailable.Code, func(_ kmsg.Request, f fault) kmsg.Response {
		resp := kmsg.NewPtrOffsetDeleteResponse()
		resp.ErrorCode = f.code
		return resp
	})
}
