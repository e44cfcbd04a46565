package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/tailrace/tailrace/bench/measure"
	"github.com/tailrace/tailrace/internal/ops"
)

// report prints what was measured, and what it says of the goals.
func (r *rig) report(w io.Writer) error {
	r.progress.clear()
	m := machine()
	fmt.Fprintf(w, "\n%s, %d cores, %s, Linux %s, %s\ntailrace %s, PostgreSQL %s, Apache Kafka %s, Debezium %s; everything on this machine\n",
		m.CPU, m.Cores, ops.Bytes(m.Memory), m.Kernel, m.Go, m.Commit, m.Postgres, m.Kafka, m.Debezium)
	if r.o.allowDisturbed {
		fmt.Fprintln(w, "DISTURBED RUNS COUNT (--allow-disturbed): the numbers are for work on the rig only")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nRows per second and CPU microseconds per row: medians of the runs")
	fmt.Fprintln(t, "work\tcontender\truns\trows/s\tbest\tworst\tclient\twalsender\tserver\tbroker\tpeak memory\tnote")
	for _, work := range works() {
		for _, name := range r.contenders(work.name) {
			r.contenderRow(t, work.name, name)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	timely := slices.DeleteFunc(slices.Clone(r.runs), func(x *result) bool { return x.Latency == nil || !x.counts() })
	if len(timely) > 0 {
		fmt.Fprintf(w, "\nMilliseconds at %d commits/s: medians of the runs\n", r.o.rate)
		fmt.Fprintln(t, "work\tcontender\truns\tp50\tp95\tp99\tmax\tbest p99\tworst p99")
		for _, work := range works() {
			for _, name := range r.contenders(work.name) {
				latencyRow(t, timely, work.name, name)
			}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nGoals, judged by the median of the rounds")
	fmt.Fprintln(t, "work\tgoal\twanted\tmeasured\tleast\tgreatest\tverdict")
	for _, work := range works() {
		if slices.Contains(r.done, work.name) {
			r.goalRows(t, work)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, f := range r.failed {
		fmt.Fprintf(w, "failed: %s\n", f)
	}
	_, err := fmt.Fprintf(w, "\nraw numbers: %s\n", r.o.out)
	return err
}

// contenders are those of a work that were run, in their order.
func (r *rig) contenders(work string) []string {
	var names []string
	for _, x := range r.runs {
		if x.Work == work && !slices.Contains(names, x.Contender) {
			names = append(names, x.Contender)
		}
	}
	return names
}

// of are the runs of a contender.
func (r *rig) of(work, contender string) (counted []*result, refused, failed int) {
	for _, x := range r.runs {
		switch {
		case x.Work != work || x.Contender != contender:
		case x.Error != "":
			failed++
		case x.Refused:
			refused++
		default:
			counted = append(counted, x)
		}
	}
	return counted, refused, failed
}

func (r *rig) contenderRow(w io.Writer, work, contender string) {
	runs, refused, failed := r.of(work, contender)
	var notes []string
	if refused > 0 {
		notes = append(notes, fmt.Sprintf("%d refused: disturbed", refused))
	}
	if failed > 0 {
		notes = append(notes, fmt.Sprintf("%d failed", failed))
	}
	if n := len(slices.DeleteFunc(slices.Clone(runs), func(x *result) bool { return !x.Disturbed })); n > 0 {
		notes = append(notes, fmt.Sprintf("%d disturbed", n))
	}
	rate := spread(runs, func(x *result) float64 {
		if x.Latency != nil { // the rate was given
			return math.NaN()
		}
		return x.rate()
	})
	cell := func(role string) string {
		s := spread(runs, func(x *result) float64 {
			if _, ok := x.CPU[role]; !ok {
				return math.NaN()
			}
			return x.perRow(role) * 1e6
		})
		return number(s.Median, "%.2f")
	}
	peak := spread(runs, func(x *result) float64 { return float64(x.Peak[roleClient]) }).Median
	memory := "–"
	if peak > 0 {
		memory = ops.Bytes(int64(peak))
	}
	fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", work, contender, len(runs), rows(rate.Median), rows(rate.Max), rows(rate.Min),
		cell(roleClient), cell(roleWalsender), cell(roleServer), cell(roleBroker), memory, strings.Join(notes, ", "))
}

func latencyRow(w io.Writer, runs []*result, work, contender string) {
	runs = slices.DeleteFunc(slices.Clone(runs), func(x *result) bool { return x.Work != work || x.Contender != contender })
	if len(runs) == 0 {
		return
	}
	ms := func(value func(*latency) float64) measure.Spread {
		return spread(runs, func(x *result) float64 { return value(x.Latency) })
	}
	worst := ms(func(l *latency) float64 { return l.P99 })
	fmt.Fprintf(w, "%s\t%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\n", work, contender, len(runs),
		ms(func(l *latency) float64 { return l.P50 }).Median, ms(func(l *latency) float64 { return l.P95 }).Median, worst.Median,
		ms(func(l *latency) float64 { return l.Max }).Median, worst.Min, worst.Max)
}

func (r *rig) goalRows(w io.Writer, work work) {
	runs := slices.DeleteFunc(slices.Clone(r.runs), func(x *result) bool { return x.Work != work.name })
	for _, g := range work.goals {
		text, s := g.verdict(runs)
		if text == "not measured" {
			_, refused, failed := r.of(work.name, g.of)
			_, refused2, failed2 := r.of(work.name, g.beside)
			switch {
			case failed+failed2 > 0:
				text = "failed"
			case refused+refused2 > 0:
				text = "refused: disturbed"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", work.name, g.about, g, number(s.Median, "%.3g"), number(s.Min, "%.3g"), number(s.Max, "%.3g"), text)
	}
}

func spread(runs []*result, value func(*result) float64) measure.Spread {
	var v []float64
	for _, x := range runs {
		v = append(v, value(x))
	}
	return measure.SpreadOf(v)
}

func rows(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return ops.Count(int64(v))
}

func number(v float64, format string) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf(format, v)
}
