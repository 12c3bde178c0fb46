package raft

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	proposals                                  *prometheus.CounterVec
	snapshots                                  *prometheus.CounterVec
	entries, reads, checks                     prometheus.Counter
	entryBytes, entryCommands                  prometheus.Histogram
	propose, apply, logged, snapshot           prometheus.Histogram
	queueBytes, unsnapshotted, leader, applied prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "isthmus_control_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "isthmus_control_" + name, Help: help})
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "isthmus_control_" + name, Help: help, Buckets: buckets})
	}
	results := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_control_" + name, Help: help}, []string{"result"})
	}
	seconds := prometheus.ExponentialBuckets(50e-6, 2, 18) // 50 µs to 6.5 s
	m := &metrics{
		proposals:     results("proposals_total", "Proposals answered, by result."),
		snapshots:     results("snapshots_total", "Snapshots taken, by result."),
		entries:       counter("entries_total", "Log entries proposed."),
		reads:         counter("confirmed_reads_total", "Reads that asked for a leadership check."),
		checks:        counter("leadership_checks_total", "Leadership checks made for reads."),
		entryBytes:    histogram("entry_bytes", "Sizes of log entries.", prometheus.ExponentialBuckets(256, 4, 7)),
		entryCommands: histogram("entry_commands", "Commands in a log entry.", prometheus.ExponentialBuckets(1, 2, 10)),
		propose:       histogram("propose_seconds", "From the queue to the answer of a proposal.", seconds),
		apply:         histogram("apply_seconds", "Applying one log entry.", seconds),
		logged:        histogram("log_seconds", "Storing a group of log entries, fsync included.", seconds),
		snapshot:      histogram("snapshot_seconds", "Taking a snapshot.", prometheus.ExponentialBuckets(0.001, 4, 9)),
		queueBytes:    gauge("queue_bytes", "Proposals waiting for a log entry."),
		unsnapshotted: gauge("unsnapshotted_bytes", "Log since the last snapshot."),
		leader:        gauge("leader", "1 while this node leads."),
		applied:       gauge("applied_index", "Index of the last applied log entry."),
	}
	for _, c := range []prometheus.Collector{
		m.proposals, m.snapshots, m.entries, m.reads, m.checks, m.entryBytes, m.entryCommands, m.propose,
		m.apply, m.logged, m.snapshot, m.queueBytes, m.unsnapshotted, m.leader, m.applied,
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
