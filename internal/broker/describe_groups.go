package broker

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// DescribeGroups, key 15, versions 0 to 6: tunnelled; an unknown group is Dead without error, with
// 69 from version 6.
func (b *broker) describeGroups() wire.API {
	return b.tunnelled(kmsg.DescribeGroups, 0, 6, kerr.CoordinatorNotAvailable.Code, awayDescribeGroups)
}

func awayDescribeGroups(r kmsg.Request, f fault) kmsg.Response {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	for _, g := range r.(*kmsg.DescribeGroupsRequest).Groups {
		rg := kmsg.NewDescribeGroupsResponseGroup()
		rg.Group, rg.ErrorCode, rg.ErrorMessage = g, f.code, f.text
		resp.Groups = append(resp.Groups, rg)
	}
	return resp
}
