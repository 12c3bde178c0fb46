package produce

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// Refusal answers Produce, in the versions of Handler, at an agent without the role.
//
// POLICY_VIOLATION (44) per partition is the one code that no client library retries and that
// leaves its producer usable; Java shows its text. The text names the group and its roles, never
// an address of another group: clients are not led from one account to the other.
type Refusal struct {
	Group string
	Roles []string
	Log   *slog.Logger // may be nil
}

// API registers the refusal; its versions are the same as API's.
func (f Refusal) API() wire.API {
	if f.Log == nil {
		f.Log = slog.New(slog.DiscardHandler)
	}
	return wire.ProduceAPI(&refuser{
		text: fmt.Sprintf("agents of group %q have the roles [%s] and take no records: produce at a group with the role \"produce\"",
			f.Group, strings.Join(f.Roles, ", ")),
		log: wire.NewRateLog(f.Log, time.Minute),
	})
}

type refuser struct {
	text string
	log  *wire.RateLog
}

// Serve refuses every partition.
func (f *refuser) Serve(_ context.Context, r *wire.Request, reply func(wire.Reply)) {
	req, ok := r.Body.(*kmsg.ProduceRequest)
	if !ok {
		reply(wire.Reply{Close: true})
		return
	}
	args := []any{"client_id", r.ClientID, "reason", f.text}
	if r.Conn != nil {
		args = append(args, "remote", r.Conn.RemoteHost())
	}
	f.log.Warn(r.ClientID, "produce refused", args...)
	p := newPending(nil, req, reply)
	for i := range p.slots {
		p.slots[i].refuse(&refusal{code: codePolicy, text: f.text})
	}
	p.finish()
}
