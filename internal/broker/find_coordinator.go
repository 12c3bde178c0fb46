package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// FindCoordinator, key 10, versions 0 to 6: the agent that was asked is the coordinator of every
// group, for it carries what it is asked to the control plane; one that is cut off from that names another.
// Version 4 asks for several keys. Transactions (type 1) are refused with 53 until they are served.
// Left out: share groups (type 2), refused with 42.
func (b *broker) findCoordinator() wire.API {
	return weighing(localWeight, b.api(kmsg.FindCoordinator, 0, 6, func(_ context.Context, r *wire.Request) (kmsg.Response, error) {
		return findCoordinator(r.Body.(*kmsg.FindCoordinatorRequest), b.Group.Coordinator()), nil
	}))
}

const (
	coordinatorGroup = 0
	coordinatorTxn   = 1
)

func findCoordinator(req *kmsg.FindCoordinatorRequest, who Member) kmsg.Response {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	if req.Version < 4 {
		c := coordinator(req.CoordinatorKey, req.CoordinatorType, who)
		resp.ErrorCode, resp.ErrorMessage = c.ErrorCode, c.ErrorMessage
		resp.NodeID, resp.Host, resp.Port = c.NodeID, c.Host, c.Port
		return resp
	}
	for _, key := range req.CoordinatorKeys {
		resp.Coordinators = append(resp.Coordinators, coordinator(key, req.CoordinatorType, who))
	}
	return resp
}

func coordinator(key string, kind int8, who Member) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.Key, c.NodeID, c.Port = key, -1, -1
	switch kind {
	case coordinatorGroup:
		c.NodeID, c.Host, c.Port = who.NodeID, who.Host, who.Port
	case coordinatorTxn:
		c.ErrorCode = kerr.TransactionalIDAuthorizationFailed.Code
		c.ErrorMessage = ptr("transactions are not served yet")
	default:
		c.ErrorCode = kerr.InvalidRequest.Code
		c.ErrorMessage = ptr("only groups have a coordinator here")
	}
	return c
}
