package produce

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmusdata/isthmus/internal/segment"
)

// metrics are listed in the package's doc.
type metrics struct {
	requests     *prometheus.CounterVec
	batches      *prometheus.CounterVec
	batchBytes   prometheus.Counter
	pendingBytes prometheus.Gauge
	blocked      prometheus.Histogram
	segments     *prometheus.CounterVec
	segmentBytes prometheus.Histogram
	putSeconds   prometheus.Histogram
	puts         *prometheus.CounterVec
	hedges       *prometheus.CounterVec
	alarms       prometheus.Counter
	commitTime   prometheus.Histogram
	commits      *prometheus.CounterVec
	sessions     prometheus.Counter
}

// latencyBuckets run from 1 ms to 16 s.
func latencyBuckets() []float64 { return prometheus.ExponentialBuckets(0.001, 2, 15) }

// newMetrics registers the metrics with reg; nil registers nothing.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	var all []prometheus.Collector
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "isthmus", Subsystem: "produce", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
		all = append(all, c)
		return c
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), []string{label})
		all = append(all, c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "isthmus", Subsystem: "produce", Name: name, Help: help, Buckets: buckets})
		all = append(all, h)
		return h
	}
	m := &metrics{
		requests:     vec("requests_total", "Produce requests by acks.", "acks"),
		batches:      vec("batches_total", "Batches answered, by Kafka error code.", "code"),
		batchBytes:   counter("batch_bytes_total", "Bytes of batches accepted."),
		pendingBytes: prometheus.NewGauge(prometheus.GaugeOpts(opts("pending_bytes", "Bytes of batches accepted and not yet let go."))),
		blocked:      histogram("blocked_seconds", "Time that requests waited for memory.", latencyBuckets()),
		segments:     vec("segments_total", "Sealed segments by what became of them.", "result"),
		segmentBytes: histogram("segment_bytes", "Size of sealed segments.", prometheus.ExponentialBuckets(4<<10, 4, 8)),
		putSeconds:   histogram("put_seconds", "One upload attempt, whatever its result.", latencyBuckets()),
		puts:         vec("puts_total", "Upload attempts by result.", "result"),
		hedges:       vec("hedges_total", "Hedged uploads.", "result"),
		alarms:       counter("alarms_total", "Objects found under keys that were ours alone."),
		commitTime:   histogram("commit_seconds", "From the first sending of a commit to its answer.", latencyBuckets()),
		commits:      vec("commits_total", "Answers to commits, by outcome.", "outcome"),
		sessions:     counter("sessions_total", "Sessions used."),
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range append(all, m.pendingBytes) {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *metrics) answered(code int16) { m.batches.WithLabelValues(strconv.Itoa(int(code))).Inc() }

func (m *metrics) reply(o segment.Outcome) {
	label := "other"
	switch o {
	case segment.Answered:
		label = "answered"
	case segment.Gone:
		label = "gone"
	case segment.SessionEnded:
		label = "ended"
	case segment.OutOfOrder:
		label = "out_of_order"
	case segment.Unauthorized:
		label = "unauthorized"
	}
	m.commits.WithLabelValues(label).Inc()
}

func acksLabel(acks int16) string {
	switch acks {
	case -1:
		return "all"
	case 0:
		return "none"
	case 1:
		return "one"
	default:
		return "invalid"
	}
}
