package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// Control is what is asked of the control plane. An error that wraps topic.ErrDenied says that the agent may not
// ask, one that wraps ErrInvalid that the request can never succeed. Any other means that no answer was had: the
// control plane is away, or the call's outcome is unknown.
type Control interface {
	TopicSource
	// Call carries one request through the tunnel.
	Call(ctx context.Context, c Call) ([]byte, error)
	// ListOffsets answers every query, in order, from a confirmed leader read.
	ListOffsets(ctx context.Context, qs []segment.OffsetQuery) ([]segment.OffsetFound, error)
}

// ErrInvalid says that the control plane takes no such request.
var ErrInvalid = errors.New("the control plane takes no such request")

// TopicSource describes topics from a confirmed leader read: those asked for in order, names
// before ids, or all.
type TopicSource interface {
	Topics(ctx context.Context, q topic.Query) ([]topic.Found, error)
}

// Call is one request of Kafka's protocol on its way to the control plane.
type Call struct {
	Key, Version int16
	Body         []byte // as kmsg encodes it, without header
	ClientID     string
	ClientHost   string
	Principal    string
}

// Roles of members.
const (
	RoleProduce = "produce"
	RoleFetch   = "fetch"
)

// Member is an agent as clients see it.
type Member struct {
	NodeID int32
	Host   string // advertised
	Port   int32
	Zone   string
	Roles  []string
}

// Group is the agents of the own group that live.
type Group interface {
	Self() Member
	Members() []Member // by node id
	// Leader is the member with the role that leads p for clients in zone; "" is any zone.
	Leader(p topic.Partition, zone, role string) (Member, bool)
	Coordinator() Member // whom clients of consumer groups should turn to: Self, unless it can do nothing for them
}

// Refiner finds the first record at or after ts inside a location, as agents do that may read.
// The offset is topic.NoOffset when there is none.
type Refiner interface {
	Refine(ctx context.Context, in segment.Location, ts int64) (offset topic.Offset, timestamp int64, err error)
}

// Config bounds what is asked of the control plane.
type Config struct {
	// AutoCreate creates a topic that is asked for and missing, where the client allows it
	// (auto.create.topics.enable).
	AutoCreate bool
	// CallTimeout is the time in which a call must be answered before clients are told to try
	// again; for a parked request it counts from the failure on.
	CallTimeout time.Duration
	// MaxPark bounds how long a request may be parked.
	MaxPark time.Duration
	// MaxCall bounds the bytes of a tunnelled request, as the control plane does.
	MaxCall int
	// MaxAnswer bounds the bytes of a tunnelled answer.
	MaxAnswer int
}

// Default is the configuration for production.
func Default() Config {
	return Config{AutoCreate: true, CallTimeout: 10 * time.Second, MaxPark: 30 * time.Minute, MaxCall: 1 << 20, MaxAnswer: 64 << 20}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var errs []error
	if c.CallTimeout <= 0 {
		errs = append(errs, fmt.Errorf("call timeout must be above 0, not %s", c.CallTimeout))
	}
	if c.MaxPark < c.CallTimeout {
		errs = append(errs, fmt.Errorf("max park (%s) must not be shorter than the call timeout (%s)", c.MaxPark, c.CallTimeout))
	}
	if c.MaxCall <= 0 {
		errs = append(errs, fmt.Errorf("max call must be above 0 bytes, not %d", c.MaxCall))
	}
	if c.MaxAnswer <= 0 {
		errs = append(errs, fmt.Errorf("max answer must be above 0 bytes, not %d", c.MaxAnswer))
	}
	return errors.Join(errs...)
}

// Deps are what the requests are answered from.
type Deps struct {
	Control     Control
	Group       Group
	Topics      *TopicCache
	Refiner     Refiner // nil: offsets by time are those of their extents
	ClusterID   string
	Incarnation func() uint32 // every partition's leader epoch
	Log         *slog.Logger
	Registerer  prometheus.Registerer // nil: metrics are not registered
}

// broker is what the handlers share.
type broker struct {
	cfg Config
	Deps
	rate    *wire.RateLog
	metrics *metrics
	probe   singleflight.Group
	lists   sharing
}

// APIs are all requests but Produce, Fetch and ApiVersions, which wire answers itself.
func APIs(cfg Config, deps Deps) ([]wire.API, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure broker: %w", err)
	}
	if deps.Control == nil || deps.Group == nil || deps.Topics == nil || deps.Incarnation == nil {
		return nil, errors.New("configure broker: control, group, topics and incarnation are needed")
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(deps.Registerer, deps.Topics)
	if err != nil {
		return nil, err
	}
	b := &broker{cfg: cfg, Deps: deps, rate: wire.NewRateLog(deps.Log, 10*time.Second), metrics: m}
	return []wire.API{
		b.listOffsets(),
		b.metadata(),
		b.offsetCommit(),
		b.offsetFetch(),
		b.findCoordinator(),
		b.joinGroup(),
		b.heartbeat(),
		b.leaveGroup(),
		b.syncGroup(),
		b.describeGroups(),
		b.listGroups(),
		b.createTopics(),
		b.deleteTopics(),
		b.initProducerID(),
		b.offsetForLeaderEpoch(),
		b.describeConfigs(),
		b.alterConfigs(),
		b.createPartitions(),
		b.deleteGroups(),
		b.incrementalAlterConfigs(),
		b.offsetDelete(),
		b.describeCluster(),
	}, nil
}
