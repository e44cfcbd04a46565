package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailrace/tailrace/cdc"
)

// metrics are the relay's. They implement cdc.Observer.
type metrics struct {
	status      *status
	changes     *prometheus.CounterVec
	filtered    *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
	fallbacks   *prometheus.CounterVec
	commitToAck prometheus.Histogram
	heartbeat   prometheus.Histogram
	sampled     func(cdc.Sample) // may be nil
}

// states are the values of the label state.
var states = []string{"starting", "standby", "snapshot", "streaming", "disconnected", "stopped"}

func newMetrics(reg prometheus.Registerer, s *status) *metrics {
	m := &metrics{
		status: s,
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tailrace_relay_changes_total", Help: "Changes that are durable in the log, by table and operation: r c u d t m.",
		}, []string{"table", "op"}),
		filtered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tailrace_relay_filtered_total", Help: "Changes that were read and not published, by reason.",
		}, []string{"reason"}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tailrace_relay_dead_letters_total", Help: "Changes that went to the dead-letter topic, by reason.",
		}, []string{"reason"}),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tailrace_relay_text_columns_total", Help: "Columns of a type without a mapping of its own, which are published as text, by type.",
		}, []string{"type"}),
		commitToAck: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tailrace_relay_commit_to_ack_seconds", Help: "From the commit in PostgreSQL to its changes being durable in the log.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 20),
		}),
		heartbeat: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tailrace_relay_heartbeat_seconds", Help: "From a heartbeat being written into PostgreSQL's WAL to it being durable in the log: how far behind the whole line is.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 20),
		}),
	}
	reg.MustRegister(m.changes, m.filtered, m.deadLetters, m.fallbacks, m.commitToAck, m.heartbeat)
	gauge := func(name, help string, f func(report) float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return f(s.report()) }))
	}
	gauge("tailrace_relay_lag_bytes", "WAL that the server has written and the relay has not confirmed.", func(r report) float64 { return float64(r.LagBytes) })
	gauge("tailrace_relay_lag_seconds", "Age of the oldest WAL that is not confirmed.", func(r report) float64 { return r.LagSeconds })
	gauge("tailrace_relay_slot_retained_bytes", "WAL that the slot keeps the server from removing.", func(r report) float64 { return float64(r.RetainedBytes) })
	gauge("tailrace_relay_confirmed_lsn", "The LSN up to which everything is durable, as a number.", func(r report) float64 { return float64(r.ConfirmedLSN) })
	gauge("tailrace_relay_trailing_seconds", "How far back the trailing slot goes: the age of the last commit before it; 0: there is none.", func(r report) float64 { return r.Trailing.seconds(time.Now()) })
	gauge("tailrace_relay_trailing_retained_bytes", "WAL that the trailing slot keeps the server from removing.", func(r report) float64 { return float64(r.Trailing.retained()) })
	gauge("tailrace_relay_bookmarks", "Bookmarks that are held.", func(r report) float64 { return float64(r.Bookmarks.Count) })
	gauge("tailrace_relay_bookmarks_retained_bytes", "WAL that the oldest bookmark keeps the server from removing.", func(r report) float64 { return float64(r.Bookmarks.RetainedBytes) })
	gauge("tailrace_relay_held_xmin_age", "Age in transactions of the oldest catalog rows that the trailing slot and bookmarks keep from being vacuumed.", func(r report) float64 { return float64(r.HeldXMinAge) })
	for _, state := range states {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tailrace_relay_state", Help: "1 for the state that the relay is in.", ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 {
			if now, _ := s.current(); now == state {
				return 1
			}
			return 0
		}))
	}
	return m
}

// Changes counts rows that are durable.
func (m *metrics) Changes(table string, op cdc.Op, n int) {
	m.changes.WithLabelValues(table, op.String()).Add(float64(n))
	m.status.counted(n)
}

// Filtered counts rows that are not published.
func (m *metrics) Filtered(reason string, n int) { m.filtered.WithLabelValues(reason).Add(float64(n)) }

// DeadLetter counts one dead letter.
func (m *metrics) DeadLetter(reason string) { m.deadLetters.WithLabelValues(reason).Inc() }

// CommitToAck observes one source transaction.
func (m *metrics) CommitToAck(d time.Duration) { m.commitToAck.Observe(d.Seconds()) }

// Heartbeat observes a probe of the whole line.
func (m *metrics) Heartbeat(sent time.Time) { m.heartbeat.Observe(time.Since(sent).Seconds()) }

// Confirmed notes what the server was told.
func (m *metrics) Confirmed(lsn cdc.LSN) { m.status.confirm(lsn) }

// Sampled hands a sample on.
func (m *metrics) Sampled(s cdc.Sample) {
	if m.sampled != nil {
		m.sampled(s)
	}
}

// Fallback counts a column that is published as text.
func (m *metrics) Fallback(_, _, typ string) { m.fallbacks.WithLabelValues(typ).Inc() }
