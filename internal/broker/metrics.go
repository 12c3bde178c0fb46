package broker

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer, topics *TopicCache) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_broker_calls_total",
			Help: "Requests carried to the control plane, by result: answered, away, refused, undecodable."}, []string{"api", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "isthmus_broker_call_seconds",
			Help:    "Time of requests in the tunnel, parked ones included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 20)}, []string{"api"}),
	}
	cached := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "isthmus_broker_topics",
		Help: "Topics in the cache."}, func() float64 { return float64(topics.Len()) })
	for _, c := range []prometheus.Collector{m.calls, m.seconds, cached} {
		if reg == nil {
			break
		}
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register broker metrics: %w", err)
		}
	}
	return m, nil
}
