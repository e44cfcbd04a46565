package docsgen

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Recorder is a registry that remembers what is registered with it: a vector
// without values is not in what a registry gathers.
type Recorder struct {
	*prometheus.Registry
	collectors []prometheus.Collector
}

// NewRecorder records on top of what reg has.
func NewRecorder(reg *prometheus.Registry) *Recorder { return &Recorder{Registry: reg} }

// Register implements prometheus.Registerer.
func (r *Recorder) Register(c prometheus.Collector) error {
	r.collectors = append(r.collectors, c)
	return r.Registry.Register(c)
}

// MustRegister implements prometheus.Registerer.
func (r *Recorder) MustRegister(list ...prometheus.Collector) {
	r.collectors = append(r.collectors, list...)
	r.Registry.MustRegister(list...)
}

// metric is a row of the page.
type metric struct {
	name, kind, help string
	labels           []string
	values           map[string][]string // of a label, where they are all known
}

// Markdown is the table of the metrics whose names begin with prefix.
func (r *Recorder) Markdown(t testing.TB, prefix string) string {
	t.Helper()
	all := map[string]*metric{}
	for _, c := range r.collectors {
		describe(t, c, all)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if name := f.GetName(); all[name] == nil {
			m := &metric{name: name, kind: strings.ToLower(f.GetType().String()), help: f.GetHelp()}
			for _, l := range f.GetMetric()[0].GetLabel() {
				m.labels = append(m.labels, l.GetName())
			}
			all[name] = m
		}
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	names := make([]string, 0, len(all))
	for name := range all {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		m := all[name]
		_, _ = fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, m.kind, m.labelText(), m.help)
	}
	return b.String()
}

func (m *metric) labelText() string {
	parts := make([]string, len(m.labels))
	for i, l := range m.labels {
		parts[i] = "`" + l + "`"
		if v := m.values[l]; len(v) > 0 {
			parts[i] += ": " + strings.Join(v, ", ")
		}
	}
	return strings.Join(parts, "; ")
}

var descText = regexp.MustCompile(`fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"),.* constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// describe adds the metric of a collector to all.
func describe(t testing.TB, c prometheus.Collector, all map[string]*metric) {
	t.Helper()
	descs := make(chan *prometheus.Desc, 16)
	c.Describe(descs)
	close(descs)
	for d := range descs {
		parts := descText.FindStringSubmatch(d.String())
		if parts == nil {
			t.Fatalf("a description of another form: %s", d)
		}
		name, help := unquote(t, parts[1]), unquote(t, parts[2])
		m := all[name]
		if m == nil {
			m = &metric{name: name, help: help, kind: vector(c), values: map[string][]string{}}
			if parts[4] != "" {
				m.labels = strings.Split(parts[4], ",")
			}
			all[name] = m
		}
	}
	alone := prometheus.NewRegistry()
	alone.MustRegister(c)
	families, err := alone.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		m := all[f.GetName()]
		m.kind = strings.ToLower(f.GetType().String())
		for _, sample := range f.GetMetric() {
			for _, l := range sample.GetLabel() {
				if !slices.Contains(m.labels, l.GetName()) {
					m.labels = append(m.labels, l.GetName())
				}
				m.values[l.GetName()] = append(m.values[l.GetName()], l.GetValue())
			}
		}
	}
}

// vector is the type of a collector that may have no values yet.
func vector(c prometheus.Collector) string {
	switch c.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.GaugeVec:
		return "gauge"
	case *prometheus.HistogramVec:
		return "histogram"
	}
	return ""
}

func unquote(t testing.TB, s string) string {
	t.Helper()
	text, err := strconv.Unquote(s)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
