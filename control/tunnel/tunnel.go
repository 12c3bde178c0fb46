package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/awake"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

// Backend is the state and its log, as the leader sees them.
type Backend interface {
	// Propose applies commands next to each other and returns a result for each.
	// An error leaves open whether they are applied, unless it says more.
	Propose(ctx context.Context, cmds ...*controlpb.Command) ([]control.Result, error)
	// View reads the state after confirming that this node leads.
	View(ctx context.Context, read func(*control.State)) error
	// Peek reads the state as it is here. It holds all that this node has applied, and so all walls that it has raised.
	Peek(read func(*control.State))
}

var (
	// ErrUnsupported: the API key or version is not carried through the tunnel.
	ErrUnsupported = errors.New("unsupported request")
	// ErrMalformed: the body is no request of that key and version, or too large.
	ErrMalformed = errors.New("malformed request")
	// ErrAway: this node does not serve groups. Asking again is always safe.
	ErrAway = errors.New("consumer groups are not served by this node now")
)

// Tunnel answers requests. Its methods may be called from many goroutines.
type Tunnel struct {
	backend Backend
	cfg     Config
	log     *slog.Logger
	apis    map[int16]api
	awake   *awake.Clock // the coordinator's; each term looks at it
	metrics *metrics

	onDenied func(who control.Caller, key int16, what control.Call, reason string)

	// altering lets one config change at a time read and replace a topic's overrides.
	altering sync.Mutex

	mu   sync.Mutex
	term *term // nil: this node does not serve groups
}

// New prepares a tunnel. It serves groups between Elected and Resigned, and
// everything else for as long as its Backend does.
func New(b Backend, cfg Config, log *slog.Logger) *Tunnel {
	return &Tunnel{backend: b, cfg: cfg, log: log, apis: allAPIs(), awake: awake.Machine(), metrics: newMetrics()}
}

// OnDenied has f told of everything that the walls answer with no, under the state's lock. It is set before the first call.
func (t *Tunnel) OnDenied(f func(who control.Caller, key int16, what control.Call, reason string)) {
	t.onDenied = f
}

// api is one request that the tunnel carries. Each is made in its own file.
type api struct {
	key      int16
	min, max int16
	parks    bool // it may wait long for its group
	serve    func(t *Tunnel, ctx context.Context, c *call) (kmsg.Response, error)
}

func allAPIs() map[int16]api {
	apis := map[int16]api{}
	for _, a := range []api{
		offsetCommitAPI(), offsetFetchAPI(), joinGroupAPI(), heartbeatAPI(), leaveGroupAPI(), syncGroupAPI(),
		describeGroupsAPI(), listGroupsAPI(), createTopicsAPI(), deleteTopicsAPI(), initProducerIDAPI(),
		offsetForLeaderEpochAPI(), describeConfigsAPI(), alterConfigsAPI(), createPartitionsAPI(),
		deleteGroupsAPI(), incrementalAlterConfigsAPI(), offsetDeleteAPI(),
	} {
		apis[a.key] = a
	}
	return apis
}

// call is one decoded request and who sent it.
type call struct {
	req  kmsg.Request
	from *controlpb.CallRequest
	who  control.Caller
}

// Call answers one request of who. What who may do is asked of the state for each part of it, and never remembered.
func (t *Tunnel) Call(ctx context.Context, who control.Caller, r *controlpb.CallRequest) (*controlpb.CallResponse, error) {
	began := time.Now()
	a, c, err := t.decode(r)
	if err != nil {
		t.metrics.count(kmsg.NameForKey(int16(r.GetKey())), "malformed")
		return nil, err
	}
	c.who = who
	resp, err := a.serve(t, ctx, c)
	name := kmsg.NameForKey(a.key)
	if !a.parks {
		t.metrics.seconds.WithLabelValues(name).Observe(time.Since(began).Seconds())
	}
	switch {
	case errors.Is(err, ErrAway):
		t.metrics.count(name, "away")
	case err != nil:
		t.metrics.count(name, "failed")
	default:
		t.metrics.count(name, "ok")
		resp.SetVersion(c.req.GetVersion())
		return &controlpb.CallResponse{Body: resp.AppendTo(nil)}, nil
	}
	return nil, fmt.Errorf("answer %s: %w", name, err)
}

// decode turns bytes into a request. Arrays are bounded by the bytes that are there.
func (t *Tunnel) decode(r *controlpb.CallRequest) (api, *call, error) {
	key, version := r.GetKey(), r.GetVersion()
	a, ok := t.apis[int16(key)]
	if !ok || key != int32(a.key) || version < int32(a.min) || version > int32(a.max) {
		return api{}, nil, fmt.Errorf("%w: key %d version %d", ErrUnsupported, key, version)
	}
	if len(r.GetBody()) > t.cfg.MaxRequestBytes {
		return api{}, nil, fmt.Errorf("%w: key %d: %d B, at most %d B are taken", ErrMalformed, key, len(r.GetBody()), t.cfg.MaxRequestBytes)
	}
	req := kmsg.RequestForKey(a.key)
	req.SetVersion(int16(version))
	if err := req.ReadFrom(r.GetBody()); err != nil {
		return api{}, nil, fmt.Errorf("%w: key %d version %d: %w", ErrMalformed, key, version, err)
	}
	return a, &call{req: req, from: r}, nil
}

// text is an optional string of Kafka's as one that is always there.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// optional is a string as Kafka's optional one: absent when empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
