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
