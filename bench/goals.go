package main

import (
	"fmt"
	"math"

	"github.com/tailrace/tailrace/bench/measure"
)

// goal is a number that a work is to reach: of one contender, or of one beside
// another in the same round.
type goal struct {
	about      string
	of, beside string // contenders; beside "": none
	value      func(of, beside *result) float64
	bound      float64
	most       bool // the value is to be at most bound, else at least
	unit       string
}

func atLeastValue(about, of, beside string, bound float64, value func(a, b *result) float64) goal {
	return goal{about: about, of: of, beside: beside, bound: bound, value: value, unit: "×"}
}

func atMost(about, of, beside string, bound float64, unit string, value func(a, b *result) float64) goal {
	return goal{about: about, of: of, beside: beside, bound: bound, value: value, unit: unit, most: true}
}

func within(about, of string, ms float64, value func(*result) float64) goal {
	return atMost(about, of, "", ms, "ms", func(a, _ *result) float64 { return value(a) })
}

func p50(r *result) float64 { return r.latency().P50 }
func p99(r *result) float64 { return r.latency().P99 }

func (r *result) latency() latency {
	if r.Latency == nil {
		return latency{P50: math.NaN(), P95: math.NaN(), P99: math.NaN(), Max: math.NaN()}
	}
	return *r.Latency
}

func rates(a, b *result) float64 { return a.rate() / b.rate() }

// perRow is CPU seconds of a role per row.
func (r *result) perRow(role string) float64 { return r.cpu(role) / float64(r.Rows) }

// perCPU is rows per CPU second of server and client together.
func perCPU(r *result) float64 { return float64(r.Rows) / (r.cpu(roleServer) + r.cpu(roleClient)) }

// readGoals are those of reading and decoding alone.
func readGoals() []goal {
	return []goal{
		atLeastValue("decode and count beside pg_recvlogical, rows/s", count, floorReader, 2, rates),
		atMost("its walsender's CPU beside pg_recvlogical's", count, floorReader, 0.5, "×", func(a, b *result) float64 { return a.perRow(roleWalsender) / b.perRow(roleWalsender) }),
		atMost("its own CPU per million rows", count, "", 0.5, "s", func(a, _ *result) float64 { return a.perRow(roleClient) * 1e6 }),
		atLeastValue("its rate beside the walsender's ceiling", count, "", 0.9, func(a, _ *result) float64 { return a.cpu(roleWalsender) / a.Seconds }),
	}
}

func embeddedGoal() goal {
	return atLeastValue("embedded broker, exactly_once, beside pg_recvlogical, rows/s", toEmbedded, floorReader, 1.8, rates)
}

// debeziumGoals are those of Apache Kafka, exactly once, beside Debezium.
func debeziumGoals() []goal {
	return []goal{
		atLeastValue("Kafka, exactly_once, beside Debezium, rows/s", toKafka, "debezium", 8, rates),
		atLeastValue("the same, second half of the rows", toKafka, "debezium", 8, func(a, b *result) float64 { return b.Half / a.Half }),
		atMost("its CPU per row beside Debezium's", toKafka, "debezium", 1.0/20, "×", func(a, b *result) float64 { return a.perRow(roleClient) / b.perRow(roleClient) }),
		atMost("its peak memory beside Debezium's", toKafka, "debezium", 1.0/15, "×", func(a, b *result) float64 { return float64(a.Peak[roleClient]) / float64(b.Peak[roleClient]) }),
	}
}

func sinkGoals() []goal {
	return []goal{
		atLeastValue("processor beside Debezium's JDBC sink, rows/s", "processor", "jdbc sink", 4, rates),
		atLeastValue("processor beside INSERT … SELECT in the server, rows/s", "processor", "INSERT … SELECT", 0.3, rates),
	}
}

func processGoals() []goal {
	return []goal{
		atLeastValue("processor beside a bare loop, rows/s", "processor", "bare loop", 0.5, rates),
		{about: "its rate", of: "processor", bound: 100, unit: "k rows/s", value: func(a, _ *result) float64 { return a.rate() / 1000 }},
		atMost("its peak memory", "processor", "", 420, "MiB", func(a, _ *result) float64 { return float64(a.Peak[roleClient]) / (1 << 20) }),
		within("p99, fed at a fixed rate", "processor fed", 100, p99),
	}
}

// measured is a goal's values in the rounds that count.
func (g goal) measured(runs []*result) []float64 {
	var values []float64
	for _, a := range runs {
		if a.Contender != g.of || !a.counts() {
			continue
		}
		if g.beside == "" {
			values = append(values, g.value(a, nil))
			continue
		}
		for _, b := range runs {
			if b.Contender == g.beside && b.Round == a.Round && b.counts() {
				values = append(values, g.value(a, b))
			}
		}
	}
	return values
}

// verdict judges the median.
func (g goal) verdict(runs []*result) (text string, s measure.Spread) {
	s = measure.SpreadOf(g.measured(runs))
	switch {
	case math.IsNaN(s.Median):
		return "not measured", s
	case g.most && s.Median <= g.bound, !g.most && s.Median >= g.bound:
		return "met", s
	}
	return "MISSED", s
}

// String is what is wanted.
func (g goal) String() string {
	sign := "≥"
	if g.most {
		sign = "≤"
	}
	return fmt.Sprintf("%s %.3g %s", sign, g.bound, g.unit)
}
