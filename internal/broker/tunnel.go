package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// awayText is the message that goes with an away code, where the schema has room for one.
const awayText = "the control plane is away; the request may or may not have been applied"

// away fills the error fields of a request's own response, so that the client tries again.
type away func(req kmsg.Request) kmsg.Response

// tunnelled is the API of a request that the control plane answers.
func (b *broker) tunnelled(key kmsg.Key, minVersion, maxVersion int16, away away) wire.API {
	return b.api(key, minVersion, maxVersion, func(ctx context.Context, r *wire.Request) (kmsg.Response, error) {
		return b.call(ctx, r, away), nil
	})
}

// api is the API of a request that is answered in line.
func (b *broker) api(key kmsg.Key, minVersion, maxVersion int16, serve func(context.Context, *wire.Request) (kmsg.Response, error)) wire.API {
	return wire.API{Key: int16(key), Min: minVersion, Max: maxVersion, ServeMin: minVersion, Handler: wire.Serial(serve)}
}

// call carries a request to the control plane and its answer back, or answers away.
func (b *broker) call(ctx context.Context, r *wire.Request, away away) kmsg.Response {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	resp, err := b.carry(ctx, r, r.Body)
	if err != nil {
		return b.away(r, err, away)
	}
	return resp
}

// carry sends one request once. body may differ from the client's.
func (b *broker) carry(ctx context.Context, r *wire.Request, body kmsg.Request) (kmsg.Response, error) {
	name := kmsg.NameForKey(r.Key)
	start := time.Now()
	answer, err := b.Control.Call(ctx, Call{
		Key: r.Key, Version: r.Version, Body: body.AppendTo(nil),
		ClientID: r.ClientID, ClientHost: r.Conn.RemoteHost(), Principal: r.Conn.Principal(),
	})
	b.metrics.seconds.WithLabelValues(name).Observe(time.Since(start).Seconds())
	if err != nil {
		b.metrics.calls.WithLabelValues(name, "away").Inc()
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
func (b *broker) away(r *wire.Request, err error, away away) kmsg.Response {
	select {
	case <-r.Conn.Done(): // nobody waits for it any more
	default:
		name := kmsg.NameForKey(r.Key)
		b.rate.Warn("away "+name, "request not answered by the control plane", "request", name,
			"client_id", r.ClientID, "remote", r.Conn.RemoteHost(), "error", err)
	}
	return away(r.Body)
}

// Parked requests are sent again after parkRetry, doubled up to parkRetryMax.
const (
	parkRetry    = 50 * time.Millisecond
	parkRetryMax = time.Second
)

// park carries a request that may wait for other clients for up to wait. When the call fails, as
// at a failover of the control plane, it is sent again; when it has failed for CallTimeout without
// a break, or the listener drains, away is answered.
func (b *broker) park(ctx context.Context, r *wire.Request, wait time.Duration, away away) kmsg.Response {
	ctx, cancel := context.WithTimeout(ctx, min(wait, b.cfg.MaxPark)+b.cfg.CallTimeout)
	defer cancel()
	defer onDrain(r.Conn, cancel)()
	retry := parkRetry
	var failing time.Time // of the first failure since the control plane last took the call
	for {
		sent := time.Now()
		resp, err := b.carry(ctx, r, r.Body)
		if err == nil {
			return resp
		}
		// A call that was held longer than a refusal takes had been parked there.
		if failing.IsZero() || time.Since(sent) > b.cfg.CallTimeout {
			failing, retry = time.Now(), parkRetry
		}
		if ctx.Err() != nil || time.Since(failing) > b.cfg.CallTimeout {
			return b.away(r, err, away)
		}
		select {
		case <-time.After(retry):
			retry = min(2*retry, parkRetryMax)
		case <-ctx.Done():
		}
	}
}

// onDrain calls cancel when the listener drains, until stop is called.
func onDrain(c *wire.Conn, cancel func()) (stop func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-c.Draining():
			cancel()
		case <-done:
		}
	}()
	return func() { close(done) }
}

// ptr is a pointer to a copy of v, as kmsg wants nullable fields.
func ptr[T any](v T) *T { return &v }
