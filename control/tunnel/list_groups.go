package tunnel

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/coordinator"
)

// ListGroups, key 16, versions 0 to 5.
//
// Every group, by name: those with members and those that have only committed
// offsets. From version 4 by state and from 5 by type, in any case of letters;
// all groups are of type classic. Groups that the caller may not see are left out.
func listGroupsAPI() api { return api{key: 16, min: 0, max: 5, serve: (*Tunnel).listGroups} }

const classicType = "classic"

func (t *Tunnel) listGroups(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.ListGroupsRequest)
	tm, err := t.serving()
	if err != nil {
		return nil, err
	}
	found := map[string]coordinator.Description{}
	err = t.backend.View(ctx, func(s *control.State) {
		s.EachGroup(func(g control.Group) bool {
			found[g.Name] = coordinator.Description{Group: g.Name, State: coordinator.Empty, ProtocolType: g.ProtocolType}
			return true
		})
	})
	if err != nil {
		return nil, err
	}
	err = tm.with(func(m *coordinator.Machine, _ int64) {
		for _, d := range m.Groups() {
			found[d.Group] = d
		}
	})
	if err != nil {
		return nil, err
	}
	t.backend.Peek(func(s *control.State) {
		maps.DeleteFunc(found, func(name string, _ coordinator.Description) bool {
			return !t.look(s, c, control.Call{Group: name}).Allowed
		})
	})
	resp := kmsg.NewPtrListGroupsResponse()
	for _, name := range slices.Sorted(maps.Keys(found)) {
		d := found[name]
		if !wanted(req.StatesFilter, string(d.State)) || !wanted(req.TypesFilter, classicType) {
			continue
		}
		g := kmsg.NewListGroupsResponseGroup()
		g.Group, g.ProtocolType, g.GroupState, g.GroupType = name, d.ProtocolType, string(d.State), classicType
		resp.Groups = append(resp.Groups, g)
	}
	return resp, nil
}

// wanted reports whether a filter lets the value through; an empty one lets everything.
func wanted(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
}
