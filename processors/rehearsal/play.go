package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// Pipeline is what is rehearsed.
type Pipeline struct {
	Name     string
	Steps    []processors.StepConfig
	OnPoison processors.Policy
	Target   func(*sinks.Origin) string // nil: schema.table
}

// Played is what became of one change.
type Played struct {
	Change  Change
	Writes  []Write
	Letters []sinks.DeadLetter
	Outcome string // as the metric counts it
	Stop    error  // the partition stopped
}

// Result is what became of all.
type Result struct {
	Played []Played
	Sink   *Sink
	State  []state.Entry
}

// Play takes changes through a pipeline, one after the other. An error is about
// what was written down: no record could be made of it.
func Play(ctx context.Context, p Pipeline, w *World, changes []Change) (*Result, error) {
	sink, store := NewSink(), state.NewMemory()
	if p.Target != nil {
		sink.Target = p.Target
	}
	c := processors.DefaultConfig()
	c.Name, c.SinkKind, c.Log, c.Registry = p.Name, "rehearsal", slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	c.Sink, c.Outbox, c.Schemas, c.Steps, c.State = sink, sink, w, p.Steps, store
	c.Stateful = slices.ContainsFunc(p.Steps, func(s processors.StepConfig) bool { return s.Stateful })
	if p.OnPoison != "" {
		c.OnPoison = p.OnPoison
	}
	pipeline := processors.NewRehearsal(c)
	r := &Result{Sink: sink}
	for i, change := range changes {
		m, err := w.Record(ctx, change)
		if err != nil {
			return nil, fmt.Errorf("change %d: %w", i+1, err)
		}
		played := Played{Change: change}
		var stop *cdc.StopError
		switch err := pipeline.Take(ctx, m); {
		case errors.As(err, &stop):
			played.Stop = err
		case err != nil:
			return nil, fmt.Errorf("change %d: %w", i+1, err)
		}
		played.Writes, played.Letters = sink.Take()
		if played.Outcome = outcome(&played); played.Outcome == "filtered" {
			if gated := pipeline.Gated(m.Topic, m.Partition); gated != sinks.Applied {
				played.Outcome = gated.String()
			}
		}
		r.Played = append(r.Played, played)
	}
	for _, e := range store.List() {
		if e.Key.Step != "" { // the runtime's own is no step's
			r.State = append(r.State, e)
		}
	}
	return r, nil
}

// outcome is the metric's word for what became of a record.
func outcome(p *Played) string {
	if len(p.Letters) > 0 {
		if header(p.Letters[0], "dlq.parked") != "" {
			return "parked"
		}
		return "dead_lettered"
	}
	if p.Stop != nil {
		return "stopped"
	}
	found := ""
	for _, w := range p.Writes {
		switch o := w.Outcome.String(); {
		case o == sinks.Applied.String():
			return o
		case found != sinks.Stale.String():
			found = o
		}
	}
	if found == "" {
		return "filtered"
	}
	return found
}

func header(d sinks.DeadLetter, name string) string {
	for _, h := range d.Headers {
		if h.Name == name {
			return string(h.Value)
		}
	}
	return ""
}
