package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// awayText is the message that goes with an away code, where the schema has room for one.
const awayText = "the control plane is away; the request may or may not have been applied"

// fault is what a response of a request's own schema says went wrong.
type fault struct {
	code int16
	text *string
}

// away fills the error fields of a request's own response.
type away func(req kmsg.Request, f fault) kmsg.Response

// tunnelled is the API of a request that the control plane answers; code makes its clients try again.
func (b *broker) tunnelled(key kmsg.Key, minVersion, maxVersion, code int16, away away) wire.API {
	return b.api(key, minVersion, maxVersion, func(ctx context.Context, r *wire.Request) (kmsg.Response, error) {
		return b.call(ctx, r, code, away), nil
	})
}

// Weights of requests: one that is carried is encoded once more, and its answer decoded and encoded. One that is
// answered here is sorted out, asked, and answered, for each of its small parts. One that is parked takes
// nothing but itself while it waits.
const (
	carriedWeight = 4
	localWeight   = 10
	parkedWeight  = 1
)

// weighing is an API with another weight.
func weighing(weight int, a wire.API) wire.API {
	a.Weight = weight
	return a
}

// api is the API of a request that is answered in line.
func (b *broker) api(key kmsg.Key, minVersion, maxVersion int16, serve func(context.Context, *wire.Request) (kmsg.Response, error)) wire.API {
	return wire.API{Key: int16(key), Min: minVersion, Max: maxVersion, ServeMin: minVersion, Handler: wire.Serial(serve), Weight: carriedWeight}
}

// call carries a request to the control plane and its answer back, or answers away.
func (b *broker) call(ctx context.Context, r *wire.Request, code int16, away away) kmsg.Response {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	resp, err := b.carry(ctx, r, r.Body)
	if err != nil {
		return b.away(r, err, code, away)
	}
	return resp
}

// errTooLarge: the control plane would never take the request, so that trying again is no use.
var errTooLarge = errors.New("request is too large for the control plane")

// carry sends one request once. body may differ from the client's.
func (b *broker) carry(ctx context.Context, r *wire.Request, body kmsg.Request) (kmsg.Response, error) {
	name := kmsg.NameForKey(r.Key)
	call := body.AppendTo(nil)
	if len(call) > b.cfg.MaxCall {
		return nil, fmt.Errorf("%w: %s of %d bytes, at most %d are taken", errTooLarge, name, len(call), b.cfg.MaxCall)
	}
	start := time.Now()
	answer, err := b.Control.Call(ctx, Call{
		Key: r.Key, Version: r.Version, Body: call,
		ClientID: r.ClientID, ClientHost: r.Conn.RemoteHost(), Principal: r.Conn.Principal(),
	})
	b.metrics.seconds.WithLabelValues(name).Observe(time.Since(start).Seconds())
	if err != nil {
		result := "away"
		if final(err) {
			result = "refused"
		}
		b.metrics.calls.WithLabelValues(name, result).Inc()
		return nil, fmt.Errorf("call %s: %w", name, err)
	}
	resp, err := b.decode(body, answer)
	if err != nil {
		b.metrics.calls.WithLabelValues(name, "undecodable").Inc()
		return nil, fmt.Errorf("decode answer to %s version %d: %w", name, r.Version, err)
	}
	b.metrics.calls.WithLabelValues(name, "answered").Inc()
	return resp, nil
}

func (b *broker) decode(req kmsg.Request, answer []byte) (kmsg.Response, error) {
	if len(answer) > b.cfg.MaxAnswer {
		return nil, fmt.Errorf("%d bytes are over the limit of %d", len(answer), b.cfg.MaxAnswer)
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	return resp, resp.ReadFrom(answer)
}

// away answers a request whose call failed, and says why in the log.
func (b *broker) away(r *wire.Request, err error, code int16, away away) kmsg.Response {
	name := kmsg.NameForKey(r.Key)
	b.complain(r, name, "request not answered by the control plane", err, "request", name)
	switch {
	case errors.Is(err, topic.ErrDenied):
		return away(r.Body, fault{deniedCode(r.Key), ptr(deniedText)})
	case errors.Is(err, errTooLarge), errors.Is(err, ErrInvalid):
		return away(r.Body, fault{kerr.InvalidRequest.Code, ptr(err.Error())})
	}
	return away(r.Body, fault{code, ptr(awayText)})
}

// deniedText goes with a code that says so.
const deniedText = "the control plane does not let this agent ask"

// deniedCode is the code by which a request says that it may not be made.
func deniedCode(key int16) int16 {
	switch kmsg.Key(key) {
	case kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.OffsetDelete, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat,
		kmsg.LeaveGroup, kmsg.DescribeGroups, kmsg.ListGroups, kmsg.DeleteGroups:
		return kerr.GroupAuthorizationFailed.Code
	case kmsg.InitProducerID:
		return kerr.ClusterAuthorizationFailed.Code
	}
	return kerr.TopicAuthorizationFailed.Code
}

// final reports whether asking the control plane again is of no use.
func final(err error) bool {
	return errors.Is(err, topic.ErrDenied) || errors.Is(err, ErrInvalid) || errors.Is(err, errTooLarge)
}

// complain logs why a request is not answered as it should be, unless its client has hung up: nobody waits for the
// answer any more, and that the call ended is no fault of who was called.
func (b *broker) complain(r *wire.Request, about, msg string, err error, more ...any) {
	select {
	case <-r.Conn.Done():
	default:
		b.rate.Warn("away "+about, msg, append(more, "client_id", r.ClientID, "remote", r.Conn.RemoteHost(), "error", err)...)
	}
}

// Parked requests are sent again after parkRetry, doubled up to parkRetryMax.
const (
	parkRetry    = 50 * time.Millisecond
	parkRetryMax = time.Second
)

// park carries a request that may wait for other clients for up to wait. When the call fails, as
// at a failover of the control plane, it is sent again; when it has failed for CallTimeout without
// a break, when the control plane no longer answers others either, or when the listener drains,
// away is answered.
func (b *broker) park(ctx context.Context, r *wire.Request, wait time.Duration, code int16, away away) kmsg.Response {
	ctx, cancel := context.WithTimeout(ctx, min(wait, b.cfg.MaxPark)+b.cfg.CallTimeout)
	defer cancel()
	go b.watch(ctx, r.Conn, cancel)
	retry := parkRetry
	var failing time.Time // of the first failure since the control plane last held the call
	for {
		sent := time.Now()
		resp, err := b.carry(ctx, r, r.Body)
		if err == nil {
			return resp
		}
		if failing.IsZero() || time.Since(sent) > b.cfg.CallTimeout {
			failing, retry = time.Now(), parkRetry
		}
		if ctx.Err() != nil || final(err) || time.Since(failing) > b.cfg.CallTimeout {
			return b.away(r, err, code, away)
		}
		select {
		case <-time.After(retry):
			retry = min(2*retry, parkRetryMax)
		case <-ctx.Done():
		}
	}
}

// watch cancels a parked call when the listener drains or the control plane is away. A call that is
// held looks from here like one that is tried again and again; a read that is never held tells them
// apart, one for all that are parked.
func (b *broker) watch(ctx context.Context, c *wire.Conn, cancel func()) {
	tick := time.NewTicker(b.cfg.CallTimeout)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.Draining():
			cancel()
			return
		case <-tick.C:
		}
		_, err, _ := b.probe.Do("", func() (any, error) {
			ctx, stop := context.WithTimeout(context.Background(), b.cfg.CallTimeout)
			defer stop()
			_, err := b.Control.Topics(ctx, topic.Query{})
			return nil, err
		})
		if err != nil {
			cancel()
			return
		}
	}
}

// ptr is a pointer to a copy of v, as kmsg wants nullable fields.
func ptr[T any](v T) *T { return &v }
