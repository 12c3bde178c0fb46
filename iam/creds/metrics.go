package creds

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are shared by all credentials of a process.
type Metrics struct {
	expiry, skew *prometheus.GaugeVec
	refreshes    *prometheus.CounterVec
	took         *prometheus.HistogramVec
	denied       *prometheus.CounterVec
}

func newMetrics() *Metrics {
	which := []string{"share", "role"}
	return &Metrics{
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "isthmus_iam_credentials_expiry_seconds", Help: "Unix time at which credentials expire; 0: they do not, or there are none.",
		}, which),
		skew: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "isthmus_iam_clock_skew_seconds", Help: "How far the clock of AWS is ahead of this machine's.",
		}, which),
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_iam_refresh_total", Help: "Renewals of credentials by result.",
		}, append(which, "result")),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "isthmus_iam_refresh_duration_seconds", Help: "Time of renewals of credentials.", Buckets: prometheus.ExponentialBucketsRange(0.005, 30, 12),
		}, which),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmus_iam_denied_total", Help: "Requests that a bucket has refused, by operation.",
		}, append(which, "op")),
	}
}

// NewMetrics registers the metrics. A nil registerer keeps them private.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := newMetrics()
	if reg == nil {
		return m, nil
	}
	err := errors.Join(reg.Register(m.expiry), reg.Register(m.skew), reg.Register(m.refreshes), reg.Register(m.took), reg.Register(m.denied))
	if err != nil {
		return nil, fmt.Errorf("register metrics of credentials: %w", err)
	}
	return m, nil
}
