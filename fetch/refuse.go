package fetch

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// Refusal answers Fetch, in the versions of Handler, at an agent without the role.
//
// TOPIC_AUTHORIZATION_FAILED (29) for every partition is the one code that clients turn into a
// clean error of their own. It is held back for min(max_wait, 500 ms), for some ask again at once.
type Refusal struct {
	Group string
	Roles []string
	Log   *slog.Logger // each client once a minute; may be nil
}

// API registers the refusal; its versions are the same as API's.
func (f Refusal) API() wire.API {
	log := f.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return wire.FetchAPI(&refuser{group: f.Group, roles: strings.Join(f.Roles, ","), rate: wire.NewRateLog(log, time.Minute)})
}

type refuser struct {
	group, roles string
	rate         *wire.RateLog
}

// Serve refuses every partition, later.
func (f *refuser) Serve(_ context.Context, r *wire.Request, reply func(wire.Reply)) {
	req, ok := r.Body.(*kmsg.FetchRequest)
	if !ok {
		reply(wire.Reply{Close: true})
		return
	}
	f.rate.Warn(r.ClientID+" "+remote(r), "fetch refused: agents of this group give no records",
		"client_id", r.ClientID, "remote", remote(r), "group", f.group, "roles", f.roles)
	resp := refusal(req)
	hold := min(max(0, time.Duration(req.MaxWaitMillis)*time.Millisecond), errorHold)
	time.AfterFunc(hold, func() { reply(wire.Reply{Gathered: resp.encode()}) })
}

// refusal answers 29 for every partition that a request names.
func refusal(req *kmsg.FetchRequest) *response {
	resp := &response{version: req.Version, committed: req.IsolationLevel != 0}
	if req.Version >= 7 && req.SessionEpoch > epochInitial {
		resp.code = codeNoSession // it can only be another agent's
		return resp
	}
	for _, w := range wantsOf(req) {
		resp.parts = append(resp.parts, answered{ref: w.ref, code: codeUnauthorized, high: topic.NoOffset, logStart: topic.NoOffset})
	}
	return resp
}
