package tunnel

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

// InitProducerId, key 22, versions 0 to 5.
//
// Without a transactional id: a new producer id with epoch 0, as Kafka gives it
// whatever id and epoch the producer had before (v3+). It belongs to the group of
// agents through which it was asked for. Agents without the produce role get none (31).
//
// Left out: transactional ids are answered 53, as those are that the caller does not
// own; the answer has no room for the reason, so it is logged.
func initProducerIDAPI() api { return api{key: 22, min: 0, max: 5, serve: (*Tunnel).initProducerID} }

func (t *Tunnel) initProducerID(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.InitProducerIDRequest)
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if denied := t.askProducer(c, text(req.TransactionalID)); denied != nil {
		resp.ErrorCode = denied.code
		return resp, nil
	}
	if req.TransactionalID != nil {
		resp.ErrorCode = codeTransactionalIDDenied
		if *req.TransactionalID == "" {
			resp.ErrorCode = codeInvalidRequest
		}
		t.log.Warn("transactions are not served yet: configure the producer without a transactional id",
			"transactional_id", *req.TransactionalID, "client", c.from.GetClientId(), "host", c.from.GetClientHost())
		return resp, nil
	}
	owner := c.who.Group
	if c.who.Open {
		owner = "" // nobody's: there are no walls yet that it could be carried through
	}
	rs, err := t.propose(ctx, &controlpb.Command{Op: &controlpb.Command_InitProducer{
		InitProducer: &controlpb.InitProducerCommand{ProducerId: -1, Group: owner},
	}})
	if err != nil {
		return nil, err
	}
	fillProducer(resp, rs[0])
	return resp, nil
}

// askProducer asks the walls about producer ids, in the state as it is now.
func (t *Tunnel) askProducer(c *call, transactional string) (f *fault) {
	t.backend.Peek(func(s *control.State) { f = t.ask(s, c, control.Call{Transactional: transactional}, codeClusterDenied) })
	if f != nil && transactional != "" {
		f.code = codeTransactionalIDDenied
	}
	return f
}

func fillProducer(resp *kmsg.InitProducerIDResponse, r control.Result) {
	if resp.ErrorCode = r.Code; r.Code == 0 {
		resp.ProducerID, resp.ProducerEpoch = r.ProducerID, r.ProducerEpoch
	}
}
