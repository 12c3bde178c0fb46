package client

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// TunnelCall is one of Kafka's coordinator or admin requests, as the client encoded it.
type TunnelCall struct {
	Key, Version int16
	Body         []byte // without header
	ClientID     string
	ClientHost   string
	Principal    string
}

// once are the requests whose second run answers otherwise than the first: CreateTopics, DeleteTopics,
// CreatePartitions, DeleteGroups, IncrementalAlterConfigs. When their answer is lost, the caller is told.
var once = map[int16]bool{19: true, 20: true, 37: true, 42: true, 44: true}

// Call carries a request to the leader and returns the encoded answer, in the version asked.
func (c *Client) Call(ctx context.Context, r TunnelCall) ([]byte, error) {
	again := acrossSessions
	if once[r.Key] {
		again = whileRefused
	}
	var got *controlpb.CallResponse
	err := c.do(ctx, "Call", again, func(ctx context.Context, n node, trailer *metadata.MD) (err error) {
		got, err = controlpb.NewTunnelServiceClient(n.conn).Call(ctx, &controlpb.CallRequest{
			Session: c.Session(), Key: int32(r.Key), Version: int32(r.Version), Body: r.Body,
			ClientId: valid(r.ClientID), ClientHost: valid(r.ClientHost), Principal: valid(r.Principal),
		}, grpc.Trailer(trailer))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("carry request of API key %d version %d: %w", r.Key, r.Version, err)
	}
	return got.GetBody(), nil
}

// valid makes text from a Kafka client fit to travel; it is shown and matched, never decoded.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
