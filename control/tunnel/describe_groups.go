package tunnel

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/coordinator"
)

// DescribeGroups, key 15, versions 0 to 6.
//
// A group that is not known is Dead with code 0; from version 6 it is answered 69.
// One that has only committed offsets is Empty without a protocol type. What
// members say and were assigned is told while the group is stable.
//
// Left out: authorized operations (v3), which are answered "not known".
func describeGroupsAPI() api {
	return api{key: 15, min: 0, max: 6, serve: (*Tunnel).describeGroups}
}

func (t *Tunnel) describeGroups(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.DescribeGroupsRequest)
	tm, err := t.serving()
	if err != nil {
		return nil, err
	}
	stored, denied := map[string]bool{}, map[string]int16{}
	err = t.backend.View(ctx, func(s *control.State) {
		for _, name := range req.Groups {
			stored[name], denied[name] = hasGroup(s, name), t.askGroupIn(s, c, name)
		}
	})
	if err != nil {
		return nil, err
	}
	resp := kmsg.NewPtrDescribeGroupsResponse()
	err = tm.with(func(m *coordinator.Machine, _ int64) {
		for _, name := range req.Groups {
			resp.Groups = append(resp.Groups, describeGroup(m, c, name, stored[name], denied[name]))
		}
	})
	return resp, err
}

func describeGroup(m *coordinator.Machine, c *call, name string, stored bool, denied int16) kmsg.DescribeGroupsResponseGroup {
	out := kmsg.NewDescribeGroupsResponseGroup()
	out.Group = name
	if out.ErrorCode = denied; denied != 0 {
		return out
	}
	d, known := m.Describe(name)
	switch {
	case !known && stored:
		d.State = coordinator.Empty
	case !known && c.req.GetVersion() >= 6:
		out.ErrorCode, out.ErrorMessage = codeGroupNotFound, kmsg.StringPtr(fmt.Sprintf("Group %s not found.", name))
	}
	out.State, out.ProtocolType, out.Protocol = string(d.State), d.ProtocolType, d.Protocol
	for _, mem := range d.Members {
		am := kmsg.NewDescribeGroupsResponseGroupMember()
		am.MemberID, am.InstanceID = mem.ID, optional(mem.Instance)
		am.ClientID, am.ClientHost = mem.ClientID, mem.ClientHost
		am.ProtocolMetadata, am.MemberAssignment = some(mem.Metadata), some(mem.Assignment)
		out.Members = append(out.Members, am)
	}
	return out
}

// some is b for a field that is not nullable.
func some(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
