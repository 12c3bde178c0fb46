package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// DeleteGroups, key 42, versions 0 to 2: tunnelled; only an empty group goes.
func (b *broker) deleteGroups() wire.API {
	return b.tunnelled(kmsg.DeleteGroups, 0, 2, kerr.CoordinatorNotAvailable.Code, awayDeleteGroups)
}

func awayDeleteGroups(r kmsg.Request, f fault) kmsg.Response {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	for _, g := range r.(*kmsg.DeleteGroupsRequest).Groups {
		rg := kmsg.NewDeleteGroupsResponseGroup()
		rg.Group, rg.ErrorCode = g, f.code
		resp.Groups = append(resp.Groups, rg)
	}
	return resp
}
