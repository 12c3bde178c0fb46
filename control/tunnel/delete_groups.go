package tunnel

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/coordinator"
	"github.com/isthmusdata/isthmus/control/desk"
)

// DeleteGroups, key 42, versions 0 to 2.
//
// Deletes groups without members, with their offsets: 68 if there are members, 69
// if there is no such group.
func deleteGroupsAPI() api { return api{key: 42, min: 0, max: 2, serve: (*Tunnel).deleteGroups} }

func (t *Tunnel) deleteGroups(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.DeleteGroupsRequest)
	tm, err := t.serving()
	if err != nil {
		return nil, err
	}
	resp := kmsg.NewPtrDeleteGroupsResponse()
	for _, name := range req.Groups {
		g := kmsg.NewDeleteGroupsResponseGroup()
		g.Group = name
		if g.ErrorCode = t.askGroup(c, name); g.ErrorCode == 0 {
			if g.ErrorCode, err = tm.deleteGroup(ctx, name); err != nil {
				return nil, err
			}
		}
		resp.Groups = append(resp.Groups, g)
	}
	return resp, nil
}

// deleteGroup drops the group from the machine and, in the same moment, queues
// its deletion: whatever joins under the name from then on is stored after it.
func (tm *term) deleteGroup(ctx context.Context, name string) (int16, error) {
	if checkGroupName(name, true) != 0 {
		return codeGroupNotFound, nil
	}
	ch := make(chan answered, 1)
	code, dropped := int16(0), false
	err := tm.at(func(d *desk.Desk, now int64) {
		d.With(now, func(m *coordinator.Machine) { code = m.Drop(name) })
		if code == codeNonEmptyGroup {
			return
		}
		code, dropped = 0, code == 0
		d.Enqueue([]*controlpb.Command{{Op: &controlpb.Command_DeleteGroup{DeleteGroup: &controlpb.DeleteGroupCommand{Group: name}}}},
			func(rs []control.Result, err error) { ch <- answered{rs, err} })
	})
	if err != nil || code != 0 {
		return code, err
	}
	rs, err := await(ctx, ch)
	if err != nil {
		return 0, err
	}
	if rs[0].Code == codeGroupNotFound && dropped {
		return 0, nil // it had not been stored yet
	}
	return rs[0].Code, nil
}
