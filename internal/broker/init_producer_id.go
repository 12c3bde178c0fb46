package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// InitProducerId, key 22, versions 0 to 5: tunnelled at every agent, for an error that depends on
// the role would be fatal to librdkafka and a busy loop to Java. Away is 14, which every client
// retries for a producer without transactions; 15 would send Java looking for a coordinator. A
// transactional id is refused with 53 until transactions are served, an empty one with 42. Left
// out: version 6 (two-phase commit).
func (b *broker) initProducerID() wire.API {
	return b.api(kmsg.InitProducerID, 0, 5, func(ctx context.Context, r *wire.Request) (kmsg.Response, error) {
		req := r.Body.(*kmsg.InitProducerIDRequest)
		switch id := req.TransactionalID; {
		case id == nil:
			return b.call(ctx, r, kerr.CoordinatorLoadInProgress.Code, awayInitProducerID), nil
		case *id == "":
			return initProducerIDError(kerr.InvalidRequest.Code), nil
		}
		b.rate.Warn("transactional", "transactional producer refused: transactions are not served yet",
			"client_id", r.ClientID, "remote", r.Conn.RemoteHost(), "transactional_id", *req.TransactionalID)
		return initProducerIDError(kerr.TransactionalIDAuthorizationFailed.Code), nil
	})
}

func awayInitProducerID(_ kmsg.Request, f fault) kmsg.Response {
	return initProducerIDError(f.code)
}

func initProducerIDError(code int16) kmsg.Response {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = code, -1, -1
	return resp
}
