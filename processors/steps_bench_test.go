package processors_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/steps"
	"github.com/tailrace/tailrace/sinks"
)

// nowhere is a sink that takes everything at once.
type nowhere struct{}

func (n *nowhere) Claim(_ context.Context, p sinks.Partition) (sinks.Claim, error) {
	return sinks.Claim{Partition: p, Epoch: 1, Next: sinks.NoOffset}, nil
}

func (n *nowhere) Reclaim(_ context.Context, c sinks.Claim) (sinks.Claim, error) { return c, nil }

func (n *nowhere) Write(_ context.Context, b *sinks.Batch) (sinks.Result, error) {
	return sinks.Result{Outcomes: make([]sinks.Outcome, len(b.Changes))}, nil
}

func (n *nowhere) Close() {}

// BenchmarkSteps is what a batch costs with a sink that costs nothing: rows of ten
// columns, a batch of 5,000.
func BenchmarkSteps(b *testing.B) {
	key := []byte("0123456789abcdef")
	stars := 8
	filter := must(steps.NewFilter(`row.amount > 10 and row.status != "draft"`))
	mapped := must(steps.NewMap(map[string]string{"total": "row.amount * row.qty", "status": "upper(row.status)"}))
	project := must(steps.NewProject(steps.ProjectConfig{Drop: []string{"note"}, Rename: map[string]string{"qty": "quantity"}}))
	mask := must(steps.NewMask(map[string]steps.MaskConfig{"mail": {Asterisks: &stars}}))
	hmac := must(steps.NewMask(map[string]steps.MaskConfig{"mail": {HMAC: key}}))
	route := must(steps.NewRoute(steps.RouteConfig{Table: `"archive." + source.table`}))
	flatten := must(steps.NewFlatten(steps.FlattenConfig{Deletes: "rewrite", AddFields: []string{"op", "source.ts_ms"}}))
	pass := processors.StepConfig{Name: "pass", New: func() processors.Step {
		return processors.StepFunc(func(_ context.Context, c *processors.Change, _ processors.State, emit processors.Emit) error {
			return emit(c)
		})
	}}
	for _, bench := range []struct {
		name  string
		full  bool
		go1   []processors.StepConfig
		steps []steps.Definition
	}{
		{name: "none"},
		{name: "go", go1: []processors.StepConfig{pass}},
		{name: "filter", steps: []steps.Definition{filter}},
		{name: "map", steps: []steps.Definition{mapped}},
		{name: "project", steps: []steps.Definition{project}},
		{name: "asterisks", steps: []steps.Definition{mask}},
		{name: "hmac", steps: []steps.Definition{hmac}},
		{name: "route", steps: []steps.Definition{route}},
		{name: "flatten", steps: []steps.Definition{flatten}},
		{name: "five", steps: []steps.Definition{filter, mapped, project, mask, route}},
		{name: "fiveWithOldRows", full: true, steps: []steps.Definition{filter, mapped, project, mask, route}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			messages, registry := processors.BenchMessages(b, 5000, bench.full)
			c := processors.DefaultConfig()
			c.Name, c.Log, c.Registry, c.Schemas, c.Sink = "p", slog.New(slog.DiscardHandler), prometheus.NewRegistry(), registry, &nowhere{}
			c.Steps = bench.go1
			for i, d := range bench.steps {
				c.Steps = append(c.Steps, steps.Build([]steps.Config{{Name: string(rune('a' + i)), Step: d}})...)
			}
			r := processors.NewRehearsal(c)
			b.ReportAllocs()
			for b.Loop() {
				if err := r.TakeMessages(b.Context(), messages); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(len(messages))/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
