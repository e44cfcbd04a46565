package processors

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailrace/tailrace/sinks"
)

// metrics are the runtime's own. Every label is bounded: outcomes and classes.
type metrics struct {
	changes  *prometheus.CounterVec
	letters  *prometheus.CounterVec
	seconds  prometheus.Histogram
	replayed *prometheus.CounterVec
	restores *prometheus.CounterVec
}

// How a state was read.
const (
	restoreFull   = "full"
	restoreSuffix = "suffix"
)

// The outcomes that the sink does not decide.
const (
	outcomeFiltered     = "filtered"
	outcomeDeadLettered = "dead_lettered"
	outcomeParked       = "parked"
)

func newMetrics(reg prometheus.Registerer, r *Runtime) *metrics {
	m := &metrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tailrace_processor_changes_total",
			Help: "Records by what became of them: applied to the sink, duplicate or stale by their row's position, filtered, dead_lettered, or parked: diverted behind a dead letter of their row.",
		}, []string{"outcome"}),
		letters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tailrace_processor_dead_letters_total",
			Help: "Records in the dead-letter topic, by what is wrong with them; diverted ones count for the class of the record they stand behind.",
		}, []string{"class"}),
		replayed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tailrace_processor_dead_letters_replayed_total",
			Help: "Dead letters that somebody wanted replayed or resolved, by what became of them: applied, filtered by a step, superseded by a later change of the row, failed again, discarded, or closed unapplied.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "tailrace_processor_process_to_commit_seconds",
			Help:    "Time from taking up a batch to the answer to its commit in the sink, failed tries left out.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}),
	}
	m.restores = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tailrace_processor_restores_total",
		Help: "States that were read from the changelog: full, or only the suffix behind what was known.",
	}, []string{"how"})
	for _, how := range []string{restoreFull, restoreSuffix} {
		m.restores.WithLabelValues(how)
	}
	for _, o := range []string{sinks.Applied.String(), sinks.Duplicate.String(), sinks.Stale.String(), outcomeFiltered, outcomeDeadLettered, outcomeParked} {
		m.changes.WithLabelValues(o)
	}
	for _, c := range sinks.Classes() {
		m.letters.WithLabelValues(string(c))
	}
	for _, v := range []Verdict{VerdictApplied, VerdictFiltered, VerdictDiscarded, VerdictClosed, VerdictSuperseded, VerdictFailed} {
		m.replayed.WithLabelValues(string(v))
	}
	reg.MustRegister(m.changes, m.letters, m.replayed, m.seconds, m.restores,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tailrace_processor_lag_seconds",
			Help: "Age of the oldest record that was fetched and is not committed, over all partitions here; 0 when there is none.",
		}, r.lagSeconds),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tailrace_processor_lag_records",
			Help: "Offsets between what is committed and the log's end, summed over the partitions here; the ends of transactions count.",
		}, r.lagRecords),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tailrace_processor_circuit_state",
			Help: "0 closed, 1 half open, 2 open: the sink is not asked.",
		}, func() float64 { return float64(r.circuit.current()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tailrace_processor_parked_rows",
			Help: "Rows whose changes are diverted to the dead-letter topic, over all partitions here.",
		}, r.parkedRows),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tailrace_processor_state_keys",
			Help: "Keys of the state that this process holds in memory.",
		}, r.stateKeys),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tailrace_processor_state_bytes",
			Help: "Bytes of the keys and values of the state in memory, without what the memory of each costs beside.",
		}, r.stateBytes),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tailrace_processor_in_flight_bytes",
			Help: "Bytes that were fetched and are not committed, over all partitions here; limits.in_flight bounds it.",
		}, r.inFlightBytes),
	)
	return m
}

// committed counts a durable batch.
func (m *metrics) committed(p *plan, result sinks.Result) {
	var outcomes [3]int
	for i := 0; i < len(result.Outcomes); i++ {
		o := result.Outcomes[i]
		// A record counts once, whatever steps made of it: as applied if anything of
		// it was, else as stale if anything of it was.
		for i+1 < len(result.Outcomes) && p.items[i+1] == p.items[i] {
			i++
			o = outcomeOf(o, result.Outcomes[i])
		}
		if !p.items[i].expanded {
			outcomes[o]++
		}
	}
	outcomes[sinks.Applied] += p.applied
	outcomes[sinks.Duplicate] += p.gated[duplicate]
	outcomes[sinks.Stale] += p.gated[stale]
	for o, n := range outcomes {
		m.add(sinks.Outcome(o).String(), n)
	}
	m.add(outcomeFiltered, p.filtered)
	m.add(outcomeDeadLettered, p.faults)
	m.add(outcomeParked, p.diverted)
	for class, n := range p.classes {
		m.letters.WithLabelValues(string(class)).Add(float64(n))
	}
}

// outcomeOf is what became of a record of which one change had outcome a, another b.
func outcomeOf(a, b sinks.Outcome) sinks.Outcome {
	switch {
	case a == sinks.Applied || b == sinks.Applied:
		return sinks.Applied
	case a == sinks.Stale || b == sinks.Stale:
		return sinks.Stale
	}
	return sinks.Duplicate
}

func (m *metrics) add(outcome string, n int) {
	if n > 0 {
		m.changes.WithLabelValues(outcome).Add(float64(n))
	}
}
