package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// DescribeCluster, key 60, versions 0 to 2: the members of the own group, and the agent that was
// asked as controller. The endpoint of controllers (type 2, version 1) is refused with 114. Fenced
// brokers (version 2) do not exist: who is listed lives.
func (b *broker) describeCluster() wire.API {
	return b.api(kmsg.DescribeCluster, 0, 2, func(_ context.Context, r *wire.Request) (kmsg.Response, error) {
		return b.clusterNow(r.Body.(*kmsg.DescribeClusterRequest)), nil
	})
}

const (
	endpointBrokers     = 1
	endpointControllers = 2
)

func (b *broker) clusterNow(req *kmsg.DescribeClusterRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.EndpointType, resp.ControllerID = endpointBrokers, -1
	if req.Version >= 1 && req.EndpointType != endpointBrokers {
		resp.EndpointType = req.EndpointType
		resp.ErrorCode = kerr.UnsupportedEndpointType.Code
		if req.EndpointType == endpointControllers {
			resp.ErrorCode = kerr.MismatchedEndpointType.Code
		}
		resp.ErrorMessage = ptr("this listener has brokers only")
		return resp
	}
	resp.ClusterID = b.ClusterID
	resp.ControllerID = b.Group.Self().NodeID
	for _, m := range b.members() {
		rb := kmsg.NewDescribeClusterResponseBroker()
		rb.NodeID, rb.Host, rb.Port, rb.Rack = m.NodeID, m.Host, m.Port, rack(m)
		resp.Brokers = append(resp.Brokers, rb)
	}
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	return resp
}
