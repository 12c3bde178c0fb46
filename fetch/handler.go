package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/meter"
	"github.com/isthmusdata/isthmus/internal/sched"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// inflateAtOnce bounds the batches that are inflated at once for ListOffsets by time.
const inflateAtOnce = 2

// errorHold is the least time that an answer of nothing but retriable errors is held back.
const errorHold = 500 * time.Millisecond

// Deps are what a Handler needs from outside.
type Deps struct {
	// Cluster is the first part of every key.
	Cluster string
	// Incarnation is the cluster's present life: every partition's leader epoch.
	Incarnation func() uint32
	Index       Index
	Topics      Topics
	// Meter counts requests and bytes by share; nil counts nothing.
	Meter *meter.Meter
	// Stores opens the bucket of a share, under a role that may read it.
	Stores func(share string) (Getter, error)
	// Owners is the ring of the own group and zone; nil: this agent is alone.
	Owners Owners
	// PeerTLS protects the conversation between agents, both ways; nil: plain.
	PeerTLS *tls.Config
	// PeerCheck is asked of connections that live, each time that they are used: whether the other end is still one
	// of the group. nil: nothing is asked.
	PeerCheck func(tls.ConnectionState) error
	// Peers carries questions to other agents; nil: over TCP.
	Peers PeerTransport
	// Poison overwrites what was read as soon as nobody holds it, however little it is, so that a test notices who still reads it.
	Poison bool
	// Sched is what the handler waits by and runs in; nil: the machine's.
	Sched    sched.Sched
	Log      *slog.Logger          // nil: nothing is logged
	Registry prometheus.Registerer // nil: metrics are not registered
}

// Handler answers Fetch, key 1, versions 4 to 17. Run must run beside it.
//
// Behaviour: long poll by max_wait and min_bytes; incremental sessions (KIP-227); topic ids from
// version 13; a batch that holds the fetch offset is returned whole, and whole batches only; the
// first partition with records gets at least one batch whatever max_bytes says.
//
// Left out: max_bytes of one partition that is not the first may leave it empty although records
// are there (as Kafka does); diverging epochs and preferred read replicas are never answered;
// replica ids are ignored.
//
// No error of a whole answer but the two about sessions, for most clients retry those without
// pause. Records are never null. Errors that a client may retry at once are held back for
// min(max_wait, 500 ms).
type Handler struct {
	cfg     Config
	deps    Deps
	metrics *metrics
	reader  *reader
	sched   sched.Sched
	start   time.Duration
	scratch *scratchPool
	rate    *wire.RateLog

	ctx      context.Context // ends questions and flights
	cancel   context.CancelFunc
	asks     sync.WaitGroup
	restarts chan struct{} // ends the running watch stream
	changed  chan struct{} // the watch has to be told of partitions

	usage     usage
	inflating chan struct{} // a token for each batch that may be inflated now

	mu          sync.Mutex // guards what follows
	planner     *planner
	sessions    *sessions
	parked      *parked
	incarnation uint32
	generation  uint64 // counts incarnations seen and withdrawals: what was asked in another is not believed
	closed      bool
}

// New makes a Handler.
func New(cfg Config, deps Deps) (*Handler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Sched == nil {
		deps.Sched = sched.Machine()
	}
	h := &Handler{cfg: cfg, deps: deps, metrics: newMetrics(), sched: deps.Sched, start: deps.Sched.Now(), scratch: newScratchPool(),
		rate: wire.NewRateLog(deps.Log, time.Minute), restarts: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		inflating: tokens(inflateAtOnce), incarnation: deps.Incarnation()}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.planner = newPlanner(&h.cfg)
	h.sessions = newSessions(&h.cfg)
	h.parked = newParked(&h.cfg)
	var err error
	if h.reader, err = newReader(h.ctx, &h.cfg, &h.deps, h.metrics); err != nil {
		h.cancel()
		return nil, err
	}
	if deps.Registry != nil {
		if err := h.metrics.register(deps.Registry, h); err != nil {
			h.cancel()
			return nil, err
		}
	}
	return h, nil
}

// API is Fetch as this listener serves it.
func API(h *Handler) wire.API { return wire.FetchAPI(h) }

// Close ends everything that Run and the handler began, and waits for it. The listener is
// drained before.
func (h *Handler) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	h.asks.Wait()
	h.reader.close()
}

// now is the time since the handler was made: what the pure parts count in.
func (h *Handler) now() time.Duration { return h.sched.Now() - h.start }

// Serve answers from a goroutine beside its caller: one request of a connection after the other, in the
// order in which they came, for each goes on with the session that the one before it has left.
func (h *Handler) Serve(ctx context.Context, r *wire.Request, reply func(wire.Reply)) {
	req, ok := r.Body.(*kmsg.FetchRequest)
	if !ok || partitionsOf(req) > h.cfg.MaxRequestPartitions {
		h.rate.Warn("fetch size "+remote(r), "fetch names too many partitions, connection closed",
			"client_id", r.ClientID, "remote", remote(r), "most", h.cfg.MaxRequestPartitions)
		reply(wire.Reply{Close: true})
		return
	}
	f := &fetch{h: h, req: req, version: r.Version, start: h.now(), forget: r.Forget, allowance: r.Allowance}
	if r.Conn != nil {
		f.draining = r.Conn.Draining()
		lineOf(r.Conn).push(h.sched, f, func() {
			if f.begin(r, reply) {
				reply(f.serve(ctx))
			}
		})
	} else if f.begin(r, reply) {
		h.sched.Go(func() { reply(f.serve(ctx)) })
	}
}

// begin reads the session part of the request. It reports whether there is more to do: if not, the
// request is answered.
func (f *fetch) begin(r *wire.Request, reply func(wire.Reply)) bool {
	h, req := f.h, f.req
	from := client{}
	if r.Conn != nil {
		from = client{r.Conn.Principal(), r.Conn.ID()}
	}
	h.mu.Lock()
	h.renew()
	var code int16
	f.session, f.incremental, code = h.sessions.begin(f.start, from, req, func() int32 { return int32(h.sched.Rand() >> 33) })
	switch {
	case code != 0:
	case f.session != nil:
		f.sessionID = f.session.id
		f.wants = f.session.wants()
	default:
		f.wants = wantsOf(req)
	}
	req.Topics, req.ForgottenTopics = nil, nil // read, and not kept while it waits
	f.since, f.epoch = h.planner.arrive(), int32(h.incarnation)
	h.mu.Unlock()
	if f.session != nil && !f.incremental && r.Conn != nil && r.Conn.Value(sessionsOf{}) == nil {
		r.Conn.SetValue(sessionsOf{}, true)
		r.Conn.AtEnd(func() { h.orphan(from.conn) })
	}
	h.metrics.requests.Inc()
	if code != 0 {
		resp := response{version: r.Version, code: code}
		reply(wire.Reply{Gathered: resp.encode(), Throttle: true})
		return false
	}
	return true
}

// sessionsOf is the key under which a connection knows that it has begun sessions.
type sessionsOf struct{}

func (h *Handler) orphan(conn uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sessions.orphan(conn)
}

// remote is the client's host, for the log.
func remote(r *wire.Request) string {
	if r.Conn == nil {
		return ""
	}
	return r.Conn.RemoteHost()
}

// renew forgets everything when a new incarnation has begun: offsets may lie lower in it. The
// lock is held.
func (h *Handler) renew() {
	if now := h.deps.Incarnation(); now != h.incarnation {
		h.incarnation = now
		h.generation++
		h.planner.reset()
		h.signal(h.restarts)
	}
}

// Withdraw forgets where records lie: the control plane no longer lets the agent in, and what it said before is not
// this agent's to use.
func (h *Handler) Withdraw() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.generation++ // and answers that are under way are not believed
	h.planner.withdrawn()
	h.signal(h.restarts)
}

func (h *Handler) signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tokens returns a channel that gives n tokens, each of which is put back when it is no longer used.
func tokens(n int) chan struct{} {
	c := make(chan struct{}, n)
	for range n {
		c <- struct{}{}
	}
	return c
}

// take takes a token that is put back in any case.
func (h *Handler) take(tokens <-chan struct{}) {
	h.sched.Wait(context.Background(), sched.Never, tokens)
}

// wait waits as Wait of the handler's Sched does, in time since the handler was made.
func (h *Handler) wait(ctx context.Context, until time.Duration, from ...<-chan struct{}) int {
	return h.sched.Wait(ctx, h.start+until, from...)
}

// ask sends the questions that the planner has raised, and tells the watch what is new. The
// lock is held.
func (h *Handler) ask() {
	if len(h.planner.dirty) > 0 {
		h.signal(h.changed)
	}
	questions := h.planner.take()
	for len(questions) > 0 && !h.closed {
		n := min(len(questions), questionsPerCall)
		batch := questions[:n]
		generation := h.generation
		h.asks.Add(1)
		h.sched.Go(func() {
			defer h.asks.Done()
			h.plan(batch, generation)
		})
		questions = questions[n:]
	}
}

// questionsPerCall bounds one call to the control plane.
const questionsPerCall = 256

// plan asks the control plane and hands the answers to the planner, which wakes who waits.
func (h *Handler) plan(questions []question, generation uint64) {
	ctx, cancel := h.sched.Timeout(h.ctx, h.cfg.PlanTimeout)
	defer cancel()
	queries := make([]segment.PlanQuery, len(questions))
	for i := range questions {
		queries[i] = questions[i].PlanQuery
	}
	plans, err := h.deps.Index.Plan(ctx, queries)
	if err == nil && len(plans) != len(queries) {
		err = fmt.Errorf("%d plans for %d queries", len(plans), len(queries))
	}
	denied := errors.Is(err, topic.ErrDenied)
	result := "ok"
	if err != nil {
		result = "failed"
		if !errors.Is(err, context.Canceled) {
			h.rate.Warn("plan", "control plane did not say where records lie", "partitions", len(queries), "error", err)
		}
	}
	h.metrics.plans.WithLabelValues(result).Add(float64(len(queries)))
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range questions {
		switch {
		case generation != h.generation, err != nil && !denied:
			h.planner.fail(h.now(), questions[i])
		case denied:
			h.planner.answer(h.now(), questions[i], &segment.PartitionPlan{Code: codeUnauthorized})
		default:
			h.planner.answer(h.now(), questions[i], &plans[i])
		}
	}
	h.ask() // what a search ahead has raised meanwhile
}
