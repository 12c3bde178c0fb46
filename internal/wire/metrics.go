package wire

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type metrics struct {
	connections prometheus.Gauge
	accepted    *prometheus.CounterVec
	refused     *prometheus.CounterVec
	read        prometheus.Counter
	written     prometheus.Counter
	quota       *prometheus.GaugeVec
	throttled   *prometheus.CounterVec
	requests    map[int16]prometheus.Counter
	seconds     map[int16]prometheus.Observer
}

func newMetrics(reg prometheus.Registerer, b *budget, apis []API) (*metrics, error) {
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "isthmus_wire_connections", Help: "Open Kafka connections."}),
		accepted: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_wire_connections_total",
			Help: "Connections by what became of them: accepted, refused, handshake."}, []string{"result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_wire_refused_total",
			Help: "Frames and requests that closed their connection, by reason."}, []string{"reason"}),
		read:    prometheus.NewCounter(prometheus.CounterOpts{Name: "isthmus_wire_read_bytes_total", Help: "Bytes of request frames read."}),
		written: prometheus.NewCounter(prometheus.CounterOpts{Name: "isthmus_wire_written_bytes_total", Help: "Bytes of answers written."}),
		quota: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "isthmus_wire_quota",
			Help: "What clients of this agent may do together, a second or at a time, by kind of quota; 0 is no bound."}, []string{"quota"}),
		throttled: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_wire_throttled_seconds_total",
			Help: "Time for which connections were not read because a quota was overdrawn, by kind of quota."}, []string{"quota"}),
		requests: make(map[int16]prometheus.Counter),
		seconds:  make(map[int16]prometheus.Observer),
	}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_wire_requests_total",
		Help: "Requests handed to handlers."}, []string{"api"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "isthmus_wire_request_seconds",
		Help:    "Time from the frame read to the answer written.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18)}, []string{"api"})
	inFlight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "isthmus_wire_in_flight_bytes",
		Help: "Memory charged to requests being read or not yet answered."}, func() float64 { return float64(b.used.Load()) })
	for _, a := range apis {
		name := kmsg.NameForKey(a.Key)
		m.requests[a.Key] = requests.WithLabelValues(name)
		m.seconds[a.Key] = seconds.WithLabelValues(name)
	}
	for _, c := range []prometheus.Collector{m.connections, m.accepted, m.refused, m.read, m.written, m.quota, m.throttled, requests, seconds, inFlight} {
		if reg == nil {
			break
		}
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register wire metrics: %w", err)
		}
	}
	return m, nil
}
