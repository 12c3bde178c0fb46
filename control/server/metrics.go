package server

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/segment"
)

type metrics struct {
	calls       *prometheus.CounterVec
	callSeconds *prometheus.HistogramVec
	commits     *prometheus.CounterVec
	logins      *prometheus.CounterVec

	placements, placedBytes, watchResets, expired prometheus.Counter
	watchStreams                                  prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "isthmus_control_" + name, Help: help})
	}
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_control_calls_total", Help: "Calls and streams that ended, by gRPC code.",
		}, []string{"method", "code"}),
		callSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "isthmus_control_call_seconds", Help: "Calls, by method.", Buckets: prometheus.ExponentialBuckets(100e-6, 2, 16),
		}, []string{"method"}),
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_control_commits_total", Help: "Commits answered, by outcome.",
		}, []string{"outcome"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_control_logins_total", Help: "Proofs of identity, by method and what came of them: ok, refused (not proven), unbound (no binding covers it).",
		}, []string{"method", "result"}),
		placements:  counter("placements_total", "Locations placed."),
		placedBytes: counter("placed_bytes_total", "Bytes placed."),
		watchResets: counter("watch_resets_total", "Watches that could not keep up."),
		expired:     counter("sessions_expired_total", "Leases that ran out."),
		watchStreams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "isthmus_control_watch_streams", Help: "Open watches.",
		}),
	}
	faults := []error{
		r.Register(m.calls), r.Register(m.callSeconds), r.Register(m.commits), r.Register(m.logins), r.Register(m.placements),
		r.Register(m.placedBytes), r.Register(m.watchResets), r.Register(m.expired), r.Register(m.watchStreams),
	}
	return m, errors.Join(faults...)
}

// registerGauges exports what the state counts.
func registerGauges(r prometheus.Registerer, peek func(func(*control.State))) error {
	var faults []error
	for _, g := range gauges {
		faults = append(faults, r.Register(prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: "isthmus_control_" + g.name, Help: g.help},
			func() (v float64) {
				peek(func(s *control.State) { v = g.of(s) })
				return v
			})))
	}
	return errors.Join(faults...)
}

// gauges are read from the state when they are asked for.
var gauges = []struct {
	name, help string
	of         func(*control.State) float64
}{
	{"topics", "Topics.", func(s *control.State) float64 { return float64(s.Stats().Topics) }},
	{"partitions", "Partitions.", func(s *control.State) float64 { return float64(s.Stats().Partitions) }},
	{"index_entries", "Index entries.", func(s *control.State) float64 { return float64(s.Stats().IndexEntries) }},
	{"segments", "Objects that are referred to.", func(s *control.State) float64 { return float64(s.Stats().Segments) }},
	{"live_bytes", "Bytes that are referred to.", func(s *control.State) float64 { return float64(s.Stats().LiveBytes) }},
	{"producers", "Producer ids times partitions.", func(s *control.State) float64 { return float64(s.Stats().Producers) }},
	{"sessions", "Live sessions.", func(s *control.State) float64 { return float64(s.Stats().Sessions) }},
	{"clock_frozen", "1 while nothing expires, for the clock is not trusted.", func(s *control.State) float64 {
		if s.Frozen() {
			return 1
		}
		return 0
	}},
}

// placed counts what a command has placed.
func (m *metrics) placed(events []segment.Event) {
	for _, e := range events {
		m.placements.Add(float64(len(e.Locations)))
		for i := range e.Locations {
			m.placedBytes.Add(float64(e.Locations[i].Length))
		}
	}
}

func outcomeName(o segment.Outcome) string {
	switch o {
	case segment.Answered:
		return "answered"
	case segment.Gone:
		return "gone"
	case segment.SessionEnded:
		return "session_ended"
	case segment.OutOfOrder:
		return "out_of_order"
	case segment.Unauthorized:
		return "unauthorized"
	}
	return "other"
}
