package agentgroup

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	changes *prometheus.CounterVec
	refused prometheus.Counter
	joins   *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_agentgroup_changes_total",
			Help: "What gossip told of members: join, leave, update."}, []string{"change"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "isthmus_agentgroup_refused_total",
			Help: "Members refused because their meta could not be read."}),
		joins: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_agentgroup_joins_total",
			Help: "Attempts to join the group through a seed."}, []string{"result"}),
	}
}

func (m *metrics) register(reg prometheus.Registerer, g *Group) error {
	if reg == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.changes, m.refused, m.joins,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "isthmus_agentgroup_members",
			Help: "Members of the group that live, this agent included."},
			func() float64 { return float64(len(g.Members())) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "isthmus_agentgroup_cut_off_members",
			Help: "Members that say they are cut off from the control plane or a bucket."},
			func() float64 { return float64(g.cutOff()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "isthmus_agentgroup_health",
			Help: "0: this agent keeps up with gossip; higher: it lags."},
			func() float64 { return float64(g.ml.GetHealthScore()) }),
	} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("register agentgroup metrics: %w", err)
		}
	}
	return nil
}
