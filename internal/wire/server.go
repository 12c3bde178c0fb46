package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Deps are what a Server is given.
type Deps struct {
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: metrics are not registered
	// Poison overwrites the bytes of Produce requests that are over, so that a test notices who still reads them.
	Poison bool
}

// Server serves Kafka connections of any number of listeners with one set of APIs and one budget.
type Server struct {
	cfg      Config
	log      *slog.Logger
	rate     *RateLog
	apis     map[int16]API
	versions []kmsg.ApiVersionsResponseApiKey // of all APIs, by key
	budget   *budget
	frames   framePool
	debts    debts
	metrics  *metrics
	quotas   quotas
	draining chan struct{}

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
	nextID    uint64
	stopping  bool
	running   sync.WaitGroup // a connection each
}

// NewServer makes a server of the given APIs; ApiVersions is added to them.
func NewServer(cfg Config, deps Deps, apis []API) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure kafka listener: %w", err)
	}
	s := &Server{
		cfg:       cfg,
		log:       deps.Log,
		apis:      make(map[int16]API),
		budget:    newBudget(cfg.MaxMemory, parseCharge(keyProduce, cfg.MaxFrame)),
		debts:     debts{limit: cfg.MaxMemory / 4},
		frames:    framePool{poison: deps.Poison},
		draining:  make(chan struct{}),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*Conn]struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.rate = NewRateLog(s.log, 10*time.Second)
	apis = append([]API{s.apiVersions()}, apis...)
	for _, a := range apis {
		if err := a.validate(); err != nil {
			return nil, err
		}
		if _, ok := s.apis[a.Key]; ok {
			return nil, fmt.Errorf("register request %s: registered twice", kmsg.NameForKey(a.Key))
		}
		s.apis[a.Key] = a
	}
	s.versions = advertise(apis)
	var err error
	s.metrics, err = newMetrics(deps.Registerer, s.budget, apis)
	return s, err
}

func (a API) validate() error {
	body := kmsg.RequestForKey(a.Key)
	switch {
	case body == nil:
		return fmt.Errorf("register request key %d: no such request", a.Key)
	case a.Handler == nil:
		return fmt.Errorf("register request %s: no handler", kmsg.NameForKey(a.Key))
	case a.Min < 0 || a.Min > a.ServeMin || a.ServeMin > a.Max || a.Max > body.MaxVersion():
		return fmt.Errorf("register request %s: versions %d..%d served from %d do not fit 0..%d",
			kmsg.NameForKey(a.Key), a.Min, a.Max, a.ServeMin, body.MaxVersion())
	case a.ServeMin > a.Min && a.Key != int16(kmsg.Produce):
		return fmt.Errorf("register request %s: only Produce has versions that are advertised but not served", kmsg.NameForKey(a.Key))
	}
	return nil
}

// ErrStopped is returned by Serve after Drain or Close.
var ErrStopped = errors.New("kafka listener stopped")

// Serve accepts connections until Drain or Close, which close ln.
func (s *Server) Serve(ln net.Listener) error {
	if !s.addListener(ln) {
		_ = ln.Close() // it was never served
		return ErrStopped
	}
	defer s.dropListener(ln)
	backoff := time.Duration(0)
	for {
		raw, err := ln.Accept()
		if err == nil {
			backoff = 0
			s.accept(raw)
			continue
		}
		if s.stopped() {
			return ErrStopped
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
		// Out of file descriptors, or a peer that hung up in the backlog: the next accept may do.
		backoff = min(max(backoff*2, 5*time.Millisecond), time.Second)
		s.rate.Warn("accept", "accept failed, retrying", "listener", ln.Addr().String(), "error", err)
		select {
		case <-time.After(backoff):
		case <-s.draining:
		}
	}
}

func (s *Server) accept(raw net.Conn) {
	s.mu.Lock()
	refuse, full, crowded := s.stopping, len(s.conns) >= s.cfg.MaxConnections, s.quotas.crowded(len(s.conns))
	if refuse || full || crowded {
		s.mu.Unlock()
		s.metrics.accepted.WithLabelValues("refused").Inc()
		switch {
		case refuse:
		case crowded:
			s.rate.Warn("crowded", "connection refused: the group's quota allows no more at this agent", "remote", raw.RemoteAddr().String(),
				"quota", s.quotas.connections.Load())
		default:
			s.rate.Warn("full", "connection refused: too many are open", "remote", raw.RemoteAddr().String(), "limit", s.cfg.MaxConnections)
		}
		_ = raw.Close() // nothing was said yet
		return
	}
	s.nextID++
	c := newConn(s, s.nextID, raw)
	s.conns[c] = struct{}{}
	s.running.Add(1)
	s.mu.Unlock()
	s.metrics.accepted.WithLabelValues("accepted").Inc()
	s.metrics.connections.Inc()
	go c.run()
}

func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.metrics.connections.Dec()
	s.running.Done()
}

func (s *Server) addListener(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.listeners[ln] = struct{}{}
	return true
}

func (s *Server) dropListener(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
}

func (s *Server) stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// stop closes the listeners and returns the connections that are open.
func (s *Server) stop() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.stopping = true
		close(s.draining)
	}
	for ln := range s.listeners {
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.log.Warn("close kafka listener", "listener", ln.Addr().String(), "error", err)
		}
	}
	return s.open()
}

// open are the connections that are open. The caller holds mu.
func (s *Server) open() []*Conn {
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// Drain accepts and reads nothing more, waits until everything that was read is answered, and
// closes. When ctx ends first, it closes what is left and returns the error of ctx.
func (s *Server) Drain(ctx context.Context) error {
	for _, c := range s.stop() {
		c.stopReading()
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.Close()
		return fmt.Errorf("drain kafka listener: %w", ctx.Err())
	}
}

// Disconnect closes the connections that are open, for clients that should look where else to turn; what
// is unanswered stays so. New ones are accepted.
func (s *Server) Disconnect() (closed int) {
	s.mu.Lock()
	conns := s.open()
	s.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
	return len(conns)
}

// Close closes all listeners and connections at once; what is unanswered stays so.
func (s *Server) Close() {
	for _, c := range s.stop() {
		c.close()
	}
	s.running.Wait()
}

// handshake completes TLS, where the listener has it.
func (s *Server) handshake(ctx context.Context, raw net.Conn) error {
	t, ok := raw.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.FrameTimeout)
	defer cancel()
	err := t.HandshakeContext(ctx)
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) {
		return errors.New("the peer does not speak TLS, this listener does: set security.protocol=SSL at the client")
	}
	return err
}
