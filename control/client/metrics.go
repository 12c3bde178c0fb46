package client

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

type metrics struct {
	calls   *prometheus.CounterVec
	retries *prometheus.CounterVec
	logins  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_control_client_calls_total", Help: "Calls to the control plane, by method and gRPC code.",
		}, []string{"method", "code"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_control_client_retries_total", Help: "Attempts after the first.",
		}, []string{"method"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_control_client_logins_total", Help: "Proofs of identity shown to the control plane, by method and result: ok, failed.",
		}, []string{"method", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "isthmus_control_client_seconds", Help: "Calls with all their attempts.",
			Buckets: prometheus.ExponentialBuckets(250e-6, 2, 18),
		}, []string{"method"}),
	}
	for _, c := range []prometheus.Collector{m.calls, m.retries, m.logins, m.seconds} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) answered(method string, code codes.Code, took time.Duration) {
	m.calls.WithLabelValues(method, code.String()).Inc()
	m.seconds.WithLabelValues(method).Observe(took.Seconds())
}
