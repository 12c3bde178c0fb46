package metered

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/isthmusdata/isthmus/internal/meter"
	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
	"github.com/isthmusdata/isthmus/internal/objstore/storetest"
)

func newMetrics(t *testing.T, reg prometheus.Registerer) *Metrics {
	t.Helper()
	m, err := NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestConformance(t *testing.T) {
	m := newMetrics(t, nil)
	storetest.Run(t, func(*testing.T) objstore.Store { return New(memstore.New(nil), m) })
}

func TestCounts(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := New(memstore.New(nil), newMetrics(t, reg))
	body := [][]byte{[]byte("hel"), []byte("lo")}
	if err := s.PutNew(t.Context(), "k", body, objstore.Sum(body)); err != nil {
		t.Fatal(err)
	}
	if err := s.PutNew(t.Context(), "k", body, objstore.Sum(body)); !errors.Is(err, objstore.ErrExists) {
		t.Fatal(err)
	}
	if _, err := s.GetRange(t.Context(), "k", 1, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetRange(t.Context(), "missing", 0, 3); !errors.Is(err, objstore.ErrNotFound) {
		t.Fatal(err)
	}
	u, err := s.Multipart(t.Context(), "parts")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(u.Part(t.Context(), body), u.Complete(t.Context())); err != nil {
		t.Fatal(err)
	}
	want := Counts{Puts: 2, Gets: 2, Parts: 3, PutBytes: 10, GetBytes: 3}
	if got := s.Counts(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	err = testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP isthmus_objstore_bytes_total Bytes of objects sent to and received from object storage.
# TYPE isthmus_objstore_bytes_total counter
isthmus_objstore_bytes_total{op="get"} 3
isthmus_objstore_bytes_total{op="multipart"} 5
isthmus_objstore_bytes_total{op="put"} 5
# HELP isthmus_objstore_requests_total Requests to object storage by operation and result.
# TYPE isthmus_objstore_requests_total counter
isthmus_objstore_requests_total{op="get",result="missing"} 1
isthmus_objstore_requests_total{op="get",result="ok"} 1
isthmus_objstore_requests_total{op="multipart",result="ok"} 3
isthmus_objstore_requests_total{op="put",result="exists"} 1
isthmus_objstore_requests_total{op="put",result="ok"} 1
`), "isthmus_objstore_bytes_total", "isthmus_objstore_requests_total")
	if err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(reg, "isthmus_objstore_request_seconds"); err != nil || n != 3 {
		t.Errorf("%d histograms, %v", n, err)
	}
}

// TestStoresShareMetrics: several stores of a process count into one registry.
func TestStoresShareMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	for range 2 {
		s := New(memstore.New(nil), newMetrics(t, reg))
		if err := s.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if got := s.Counts().Deletes; got != 1 {
			t.Errorf("a store counted %d deletes, made 1", got)
		}
	}
	m := newMetrics(t, reg)
	if got := testutil.ToFloat64(m.requests.WithLabelValues("delete", "ok")); got != 2 {
		t.Errorf("%v deletes in all, want 2", got)
	}
}

// TestForAShare: what is asked for a share is counted for it by what became of it, hedges among the rest.
func TestForAShare(t *testing.T) {
	shares := meter.New("prod")
	s := New(memstore.New(nil), newMetrics(t, nil)).For(shares.Share("orders"))
	body := [][]byte{[]byte("hel"), []byte("lo")}
	if err := s.PutNew(t.Context(), "k", body, objstore.Sum(body)); err != nil {
		t.Fatal(err)
	}
	if err := s.PutNew(objstore.Hedging(t.Context()), "k2", body, objstore.Sum(body)); err != nil {
		t.Fatal(err)
	}
	if err := s.PutNew(t.Context(), "k", body, objstore.Sum(body)); !errors.Is(err, objstore.ErrExists) {
		t.Fatal(err)
	}
	if _, err := s.GetRange(objstore.Hedging(t.Context()), "k", 1, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetRange(t.Context(), "k", 4, 30); !errors.Is(err, objstore.ErrInvalid) {
		t.Fatal(err)
	}
	if _, _, err := s.List(t.Context(), "", "", 10); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.GetRange(gone, "k", 0, 1); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	want := meter.Counts{meter.HedgedPuts: 1, meter.HedgedGets: 1, meter.PutBytes: 10, meter.GetBytes: 3}
	want[meter.Requests(meter.Put, meter.OK)] = 3
	want[meter.Requests(meter.Get, meter.OK)] = 1
	want[meter.Requests(meter.Get, meter.Failed)] = 1
	want[meter.Requests(meter.List, meter.OK)] = 1
	want[meter.Requests(meter.Get, meter.Canceled)] = 1
	if got := shares.Share("orders").Counts(); got != want {
		t.Errorf("%+v, wanted %+v", got, want)
	}
}
