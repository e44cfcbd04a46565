package registry

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics registers tailrace_<program>_registry_request_seconds and returns
// what Config.Observe takes. Both labels are bounded: nine operations, and the
// statuses of HTTP with "none" for no answer.
func Metrics(reg prometheus.Registerer, program string) func(operation string, status int, elapsed time.Duration) {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "tailrace_" + program + "_registry_request_seconds",
		Help:    "Duration of requests to the schema registry, by operation and HTTP status.",
		Buckets: []float64{.005, .02, .1, .5, 2, 5},
	}, []string{"operation", "status"})
	reg.MustRegister(h)
	return func(operation string, status int, elapsed time.Duration) {
		s := "none"
		if status != 0 {
			s = strconv.Itoa(status)
		}
		h.WithLabelValues(operation, s).Observe(elapsed.Seconds())
	}
}
