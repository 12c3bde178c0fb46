package tunnel

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	denied   prometheus.Counter
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_control_tunnel_requests_total", Help: "Kafka requests answered, by API and result.",
		}, []string{"api", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "isthmus_control_tunnel_seconds", Help: "Time to answer a Kafka request that does not wait for its group.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12),
		}, []string{"api"}),
		denied: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "isthmus_control_tunnel_denied_total", Help: "Questions that the walls answered with no.",
		}),
	}
}

func (m *metrics) count(api, result string) { m.requests.WithLabelValues(api, result).Inc() }

// Register lets r collect the tunnel's metrics.
func (t *Tunnel) Register(r prometheus.Registerer) error {
	gauge := func(name, help string, read func(*term) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "isthmus_control_" + name, Help: help}, func() float64 {
			tm, err := t.serving()
			if err != nil {
				return 0
			}
			tm.mu.Lock()
			defer tm.mu.Unlock()
			return read(tm)
		})
	}
	size := func(pick func(groups, members, parked, queued int) int) func(*term) float64 {
		return func(tm *term) float64 { return float64(pick(tm.desk.Sizes())) }
	}
	for _, c := range []prometheus.Collector{
		t.metrics.requests, t.metrics.seconds, t.metrics.denied,
		gauge("groups", "Consumer groups held, empty ones included.", size(func(g, _, _, _ int) int { return g })),
		gauge("group_members", "Members of consumer groups.", size(func(_, m, _, _ int) int { return m })),
		gauge("group_parked_requests", "JoinGroup and SyncGroup requests that wait.", size(func(_, _, p, _ int) int { return p })),
		gauge("group_queue_bytes", "Commits and assignments waiting for the log.", size(func(_, _, _, q int) int { return q })),
	} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}
