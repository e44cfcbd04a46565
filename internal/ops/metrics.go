package ops

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewRegistry is a registry with the Go runtime's and the process's metrics, and
// tailrace_<program>_build_info.
func NewRegistry(program string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := Build(program)
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "tailrace_" + program + "_build_info",
		Help:        "Always 1; the labels say which build this is.",
		ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "go": build.Go},
	})
	info.Set(1)
	reg.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// StateGauge is one series for each state, of which exactly one is 1. Safe for
// concurrent use, but two concurrent Sets may leave two series at 1.
type StateGauge struct {
	vec    *prometheus.GaugeVec
	states []string
}

// NewStateGauge registers the gauge with label state, and sets the first state.
func NewStateGauge(reg prometheus.Registerer, name, help string, states ...string) *StateGauge {
	g := &StateGauge{
		vec:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"state"}),
		states: states,
	}
	reg.MustRegister(g.vec)
	g.Set(states[0])
	return g
}

// Set makes state the one that is 1. A state that was not listed sets none.
func (g *StateGauge) Set(state string) {
	for _, s := range g.states {
		value := 0.0
		if s == state {
			value = 1
		}
		g.vec.WithLabelValues(s).Set(value)
	}
}
