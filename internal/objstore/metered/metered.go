// Package metered counts what is asked of a store.
//
// It promises to change nothing: every request goes through once, and its answer comes back as it is. A request is
// counted when it is answered; attempts inside a store (s3store repeats reads) count as one.
//
// Metrics, op being put, get, head, delete, list or multipart:
//
//	isthmus_objstore_requests_total{op,result}   requests; result is ok, exists, missing, no_bucket, denied,
//	                                             throttled, unknown, unavailable, invalid, canceled or other
//	isthmus_objstore_bytes_total{op}             bytes of objects sent (put, multipart) or received (get), of requests with result ok
//	isthmus_objstore_request_seconds{op}         how long requests took
//
// A store that is For a share counts into that share's meter as well, and there each attempt by itself.
package metered

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmusdata/isthmus/internal/meter"
	"github.com/isthmusdata/isthmus/internal/objstore"
)

// Metrics are shared by all stores of a process.
type Metrics struct {
	requests *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// NewMetrics registers the metrics, or finds those registered before. A nil registerer keeps them private.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_objstore_requests_total", Help: "Requests to object storage by operation and result.",
		}, []string{"op", "result"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_objstore_bytes_total", Help: "Bytes of objects sent to and received from object storage.",
		}, []string{"op"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "isthmus_objstore_request_seconds", Help: "Time of requests to object storage.",
			Buckets: prometheus.ExponentialBucketsRange(0.001, 30, 18),
		}, []string{"op"}),
	}
	if reg == nil {
		return m, nil
	}
	err := errors.Join(register(reg, &m.requests), register(reg, &m.bytes), register(reg, &m.seconds))
	if err != nil {
		return nil, fmt.Errorf("register metrics of object storage: %w", err)
	}
	return m, nil
}

// register adds a collector, or takes the one that is there already.
func register[C prometheus.Collector](reg prometheus.Registerer, c *C) error {
	err := reg.Register(*c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			*c = existing
			return nil
		}
	}
	return err
}

// Counts are requests that reached the store, whatever their results.
type Counts struct {
	Puts, Gets, Heads, Deletes, Lists, Parts int64 // Puts and Parts as a bill counts them: a part, the start and the end of an upload are one each
	PutBytes, GetBytes                       int64 // of requests that succeeded; PutBytes holds those of parts too
}

// Store counts the requests of a store.
type Store struct {
	inner   objstore.Store
	metrics *Metrics
	share   *meter.Share // nil: not counted by share

	puts, gets, heads, deletes, lists, parts atomic.Int64
	putBytes, getBytes                       atomic.Int64
}

// New wraps a store.
func New(inner objstore.Store, m *Metrics) *Store { return &Store{inner: inner, metrics: m} }

// For counts for a share, too.
func (s *Store) For(share *meter.Share) *Store {
	s.share = share
	return s
}

// Counts returns what was counted so far.
func (s *Store) Counts() Counts {
	return Counts{
		Puts: s.puts.Load(), Gets: s.gets.Load(), Heads: s.heads.Load(), Deletes: s.deletes.Load(), Lists: s.lists.Load(), Parts: s.parts.Load(),
		PutBytes: s.putBytes.Load(), GetBytes: s.getBytes.Load(),
	}
}

// observe counts one answered request.
func (s *Store) observe(ctx context.Context, op string, count *atomic.Int64, began time.Time, err error) {
	count.Add(1)
	s.account(ctx, op, err)
	s.metrics.requests.WithLabelValues(op, objstore.Class(err)).Inc()
	s.metrics.seconds.WithLabelValues(op).Observe(time.Since(began).Seconds())
}

// account counts a request for the share.
func (s *Store) account(ctx context.Context, op string, err error) {
	result := meter.Failed
	switch class := objstore.Class(err); {
	case class == "ok" || class == "exists" || class == "missing":
		result = meter.OK
	case class == "throttled":
		result = meter.Throttled
	case errors.Is(err, context.Canceled):
		result = meter.Canceled
	}
	s.share.Add(meter.Requests(asked[op], result), 1)
	s.share.Add(meter.Requests(asked[op], meter.Failed), objstore.Repeats(ctx)) // each was sent again because it had failed
	if !objstore.IsHedge(ctx) {
		return
	}
	switch op {
	case "put":
		s.share.Add(meter.HedgedPuts, 1)
	case "get":
		s.share.Add(meter.HedgedGets, 1)
	}
}

// asked is the operation of a name; nobody writes to it.
var asked = map[string]meter.Op{
	"put": meter.Put, "get": meter.Get, "head": meter.Head, "list": meter.List, "delete": meter.Delete, "multipart": meter.Multipart,
}

func (s *Store) moved(op string, count *atomic.Int64, n int64, err error) {
	if err == nil {
		count.Add(n)
		s.metrics.bytes.WithLabelValues(op).Add(float64(n))
		if op == "get" {
			s.share.Add(meter.GetBytes, n)
		} else {
			s.share.Add(meter.PutBytes, n)
		}
	}
}

// PutNew implements objstore.Putter.
func (s *Store) PutNew(ctx context.Context, key string, body [][]byte, crc32c uint32) error {
	began := time.Now()
	err := s.inner.PutNew(ctx, key, body, crc32c)
	s.observe(ctx, "put", &s.puts, began, err)
	s.moved("put", &s.putBytes, objstore.Size(body), err)
	return err
}

// GetRange implements objstore.Getter.
func (s *Store) GetRange(ctx context.Context, key string, position, length int64) ([]byte, error) {
	ctx = objstore.CountRepeats(ctx)
	began := time.Now()
	b, err := s.inner.GetRange(ctx, key, position, length)
	s.observe(ctx, "get", &s.gets, began, err)
	s.moved("get", &s.getBytes, int64(len(b)), err)
	return b, err
}

// Head implements objstore.Store.
func (s *Store) Head(ctx context.Context, key string) (objstore.Info, error) {
	ctx = objstore.CountRepeats(ctx)
	began := time.Now()
	info, err := s.inner.Head(ctx, key)
	s.observe(ctx, "head", &s.heads, began, err)
	return info, err
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	ctx = objstore.CountRepeats(ctx)
	began := time.Now()
	err := s.inner.Delete(ctx, key)
	s.observe(ctx, "delete", &s.deletes, began, err)
	return err
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, bool, error) {
	ctx = objstore.CountRepeats(ctx)
	began := time.Now()
	page, more, err := s.inner.List(ctx, prefix, after, limit)
	s.observe(ctx, "list", &s.lists, began, err)
	return page, more, err
}

// Multipart implements objstore.Store.
func (s *Store) Multipart(ctx context.Context, key string) (objstore.Multipart, error) {
	ctx = objstore.CountRepeats(ctx)
	began := time.Now()
	inner, err := s.inner.Multipart(ctx, key)
	s.observe(ctx, "multipart", &s.parts, began, err)
	if err != nil {
		return nil, err
	}
	return &upload{Multipart: inner, store: s}, nil
}

// Clock implements objstore.Clocked; it is not counted.
func (s *Store) Clock(ctx context.Context) (time.Time, error) { return objstore.Clock(ctx, s.inner) }

// Close implements objstore.Store.
func (s *Store) Close() error { return s.inner.Close() }

// upload counts the requests of an upload in parts.
type upload struct {
	objstore.Multipart
	store *Store
}

func (u *upload) Part(ctx context.Context, body [][]byte) error {
	ctx = objstore.CountRepeats(ctx)
	began := time.Now()
	err := u.Multipart.Part(ctx, body)
	u.store.observe(ctx, "multipart", &u.store.parts, began, err)
	u.store.moved("multipart", &u.store.putBytes, objstore.Size(body), err)
	return err
}

func (u *upload) Complete(ctx context.Context) error {
	ctx = objstore.CountRepeats(ctx)
	began := time.Now()
	err := u.Multipart.Complete(ctx)
	u.store.observe(ctx, "multipart", &u.store.parts, began, err)
	return err
}
