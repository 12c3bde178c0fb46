package fetch

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are listed in the package's doc.
type metrics struct {
	requests     prometheus.Counter
	records      prometheus.Counter // bytes
	waits        prometheus.Counter
	codes        *prometheus.CounterVec
	plans        *prometheus.CounterVec
	watchRestart prometheus.Counter

	hits, misses   *prometheus.CounterVec
	gets, getBytes *prometheus.CounterVec
	getSeconds     prometheus.Histogram
	retries        prometheus.Counter
	hedges         prometheus.Counter
	throttled      prometheus.Counter
	throttleWaits  prometheus.Counter
	corrupt        prometheus.Counter
	gone           prometheus.Counter
	roomWaits      prometheus.Counter
	peerReads      *prometheus.CounterVec
	peerBytes      prometheus.Counter
	peerSeconds    prometheus.Histogram
	peerServed     *prometheus.CounterVec
	peerSent       prometheus.Counter
	collectors     []prometheus.Collector
}

// latencies are the buckets of reads, in seconds.
var latencies = [...]float64{.002, .005, .01, .02, .03, .05, .075, .1, .15, .25, .5, 1, 2.5, 5, 10}

func newMetrics() *metrics {
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "isthmus_fetch_" + name, Help: help})
		m.collectors = append(m.collectors, c)
		return c
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_fetch_" + name, Help: help}, []string{label})
		m.collectors = append(m.collectors, c)
		return c
	}
	histogram := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "isthmus_fetch_" + name, Help: help, Buckets: latencies[:]})
		m.collectors = append(m.collectors, h)
		return h
	}
	m.requests = counter("requests_total", "Fetch requests answered.")
	m.records = counter("record_bytes_total", "Bytes of record batches answered.")
	m.waits = counter("waits_total", "Fetch requests that waited for records.")
	m.codes = vec("errors_total", "Partitions answered with an error, by Kafka code.", "code")
	m.plans = vec("plans_total", "Questions to the control plane where records lie, by result.", "result")
	m.watchRestart = counter("watch_restarts_total", "Watch streams that ended and were begun again.")
	m.hits = vec("cache_hits_total", "Locations whose bytes were held or being read already.", "class")
	m.misses = vec("cache_misses_total", "Ranges that had to be read.", "class")
	m.gets = vec("gets_total", "GET requests to the bucket, hedges and retries included.", "class")
	m.getBytes = vec("get_bytes_total", "Bytes read from the bucket.", "class")
	m.getSeconds = histogram("get_seconds", "Time of one successful GET.")
	m.retries = counter("get_retries_total", "GETs repeated after an error.")
	m.hedges = counter("get_hedges_total", "GETs asked twice because the first was late.")
	m.throttled = counter("get_throttled_total", "GETs that the bucket refused for being one too many (503).")
	m.throttleWaits = counter("throttle_waits_total", "GETs that waited for a bucket that throttles.")
	m.corrupt = counter("corrupt_total", "Locations whose bytes failed their checks.")
	m.gone = counter("gone_total", "Locations whose object was gone, planned again.")
	m.roomWaits = counter("memory_waits_total", "Requests that waited for chunk memory.")
	m.peerReads = vec("peer_reads_total", "Chunks asked of their owner, by result.", "result")
	m.peerBytes = counter("peer_read_bytes_total", "Bytes read from other agents.")
	m.peerSeconds = histogram("peer_seconds", "Time of one successful read from another agent.")
	m.peerServed = vec("peer_served_total", "Reads of other agents answered, by result.", "result")
	m.peerSent = counter("peer_sent_bytes_total", "Bytes sent to other agents.")
	return m
}

// register adds the counters, and gauges that ask h.
func (m *metrics) register(to prometheus.Registerer, h *Handler) error {
	gauge := func(name, help string, labels prometheus.Labels, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "isthmus_fetch_" + name, Help: help, ConstLabels: labels}, f)
	}
	all := append(m.collectors,
		gauge("cache_bytes", "Bytes of chunks held.", prometheus.Labels{"class": "tail"},
			func() float64 { return float64(h.reader.usage(tailClass)) }),
		gauge("cache_bytes", "Bytes of chunks held.", prometheus.Labels{"class": "cold"},
			func() float64 { return float64(h.reader.usage(coldClass)) }),
		gauge("sessions", "Incremental fetch sessions.", nil, func() float64 {
			h.mu.Lock()
			defer h.mu.Unlock()
			return float64(len(h.sessions.byID))
		}),
		gauge("watched_partitions", "Partitions watched.", nil, func() float64 {
			h.mu.Lock()
			defer h.mu.Unlock()
			return float64(len(h.planner.tracks))
		}),
		gauge("locations", "Locations held.", nil, func() float64 {
			h.mu.Lock()
			defer h.mu.Unlock()
			return float64(h.planner.held)
		}),
	)
	var faults []error
	for _, c := range all {
		if err := to.Register(c); err != nil {
			faults = append(faults, fmt.Errorf("register fetch metrics: %w", err))
		}
	}
	return errors.Join(faults...)
}
