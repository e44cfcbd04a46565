package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/rehearsal"
	"github.com/tailrace/tailrace/processors/steps"
	"github.com/tailrace/tailrace/sinks"
)

// fixture is a file of tests. docs/steps.md describes it.
type fixture struct {
	Config     string            `yaml:"config" default:"" doc:"The configuration whose steps are tested, relative to this file; that of -c if empty and there are no steps here."`
	Steps      []stepSettings    `yaml:"steps" oneof:"true" doc:"Steps to test, instead of a configuration's."`
	OnPoison   string            `yaml:"on_poison" default:"park_key" enum:"skip|park_key|stop" doc:"errors.on_poison, beside steps."`
	Source     string            `yaml:"source" default:"shop" doc:"name of the relay."`
	Partitions int               `yaml:"partitions" default:"1" min:"1" max:"1000" unit:"partitions" doc:"Of each topic."`
	Tables     map[string]string `yaml:"tables" key:"table" required:"true" example:"{public.orders: \"id bigint primary key, total numeric(10,2)\"}" doc:"What stands between the parentheses of CREATE TABLE."`
	Tests      []fixtureTest     `yaml:"tests" required:"true" doc:"Each begins with an empty sink."`
}

type fixtureTest struct {
	Name        string                       `yaml:"name" required:"true" doc:"What is shown."`
	Changes     []fixtureChange              `yaml:"changes" required:"true" doc:"Changes of the source, in order."`
	Writes      []fixtureWrite               `yaml:"writes" oneof:"true" doc:"What the sink applies, in order, all of it."`
	DeadLetters []fixtureLetter              `yaml:"dead_letters" doc:"What goes to the dead-letter topic, in order, all of it."`
	State       []fixtureState               `yaml:"state" doc:"What the steps remember at the end, all of it."`
	Rows        map[string][]map[string]cell `yaml:"rows" key:"table" doc:"Rows of the sink at the end, of the tables that are named."`
}

type fixtureChange struct {
	Table       string          `yaml:"table" required:"true" doc:"schema.table."`
	Op          string          `yaml:"op" required:"true" enum:"r|c|u|d|t|sweep" doc:"As in records; sweep is the mark behind a new snapshot."`
	Row         map[string]cell `yaml:"row" key:"column" doc:"The new row; what is left out is null."`
	Before      map[string]cell `yaml:"before" key:"column" doc:"The old row; what is left out is not in the record."`
	Unavailable []string        `yaml:"unavailable" doc:"Columns of the new row that are not in the record: unchanged TOAST."`
	Position    cell            `yaml:"position" doc:"A position, or the number of a transaction; one further than the change before if left out."`
	Partition   int             `yaml:"partition" default:"0" min:"0" doc:"Of the topic."`
	Outcome     string          `yaml:"outcome" default:"" enum:"applied|duplicate|stale|filtered|dead_lettered|parked|stopped" doc:"What becomes of the record, where it matters."`
}

type fixtureWrite struct {
	Upsert   *string         `yaml:"upsert" doc:"Table of the sink that gets a whole row."`
	Update   *string         `yaml:"update" doc:"Table of which some columns of a row change."`
	Delete   *string         `yaml:"delete" doc:"Table that loses a row; row is its key."`
	Truncate *string         `yaml:"truncate" doc:"Table that loses its rows up to here."`
	Sweep    *string         `yaml:"sweep" doc:"Table that loses what a snapshot did not bring."`
	Row      map[string]cell `yaml:"row" key:"column" doc:"All columns that are written."`
	Position cell            `yaml:"position" doc:"The position that is written, where it matters."`
}

type fixtureLetter struct {
	Change  int    `yaml:"change" default:"0" min:"0" doc:"Number of the change, from 1."`
	Class   string `yaml:"class" default:"" doc:"dlq.class."`
	Step    string `yaml:"step" default:"" doc:"dlq.step."`
	Message string `yaml:"message" default:"" doc:"A part of dlq.message."`
}

type fixtureState struct {
	Step  string `yaml:"step" required:"true" doc:"Its name, as steps[0].latest."`
	Key   string `yaml:"key" required:"true" doc:"The row's or the entity's."`
	Value string `yaml:"value" required:"true" doc:"As text."`
}

// cell is a value of a row: a text as PostgreSQL prints it, or null.
type cell struct{ rehearsal.Value }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *cell) UnmarshalText(b []byte) error {
	c.Text = string(b)
	return nil
}

// UnmarshalNull implements config.Nuller.
func (c *cell) UnmarshalNull() { c.Null = true }

// values are the cells of a row; nil stays nil.
func values(row map[string]cell) map[string]rehearsal.Value {
	if row == nil {
		return nil
	}
	out := make(map[string]rehearsal.Value, len(row))
	for name, c := range row {
		out[name] = c.Value
	}
	return out
}

// tables reads the definitions. What is wrong with them is a config.Problems.
func (f *fixture) tables(name string, file *config.File) ([]*cdc.Table, error) {
	var out []*cdc.Table
	var problems config.Problems
	for _, table := range slices.Sorted(maps.Keys(f.Tables)) {
		t, err := rehearsal.ParseTable(table, f.Tables[table])
		if err != nil {
			path := "tables." + table
			line, column := file.Locate(path, 0)
			problems = append(problems, config.Problem{File: name, Line: line, Column: column, Path: path, Message: err.Error()})
		}
		out = append(out, t)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return out, nil
}

// pipeline is what the fixture tests.
func (f *fixture) pipeline(name string, file *config.File, fallback string) (rehearsal.Pipeline, error) {
	p := rehearsal.Pipeline{Name: "rehearsal", OnPoison: processors.Policy(f.OnPoison)}
	list := &stepList{name: name, file: file, list: f.Steps}
	if len(f.Steps) == 0 {
		path := fallback
		if f.Config != "" {
			path = filepath.Join(filepath.Dir(name), f.Config)
		}
		s := &settings{}
		loaded, err := config.Load(path, s)
		if err != nil {
			return p, err
		}
		list = s.steps(path, loaded)
		p.Name, p.OnPoison, p.Target = s.Name, processors.Policy(s.Errors.OnPoison), s.target
	}
	made, err := list.build()
	if err != nil {
		return p, err
	}
	p.Steps = steps.Build(made)
	return p, nil
}

// target is the table that the sink's template gives an origin.
func (s *settings) target(o *sinks.Origin) string {
	template := "{schema}.{table}"
	if s.Sink.Postgres != nil {
		template = s.Sink.Postgres.Table
	}
	return strings.NewReplacer("{db}", o.Database, "{name}", o.Name, "{schema}", o.Schema, "{table}", o.Table, "{topic}", o.Topic).Replace(template)
}

// changes and want are a test in the words of a rehearsal.
func (t *fixtureTest) changes() []rehearsal.Change {
	out := make([]rehearsal.Change, len(t.Changes))
	for i, c := range t.Changes {
		out[i] = rehearsal.Change{Table: c.Table, Op: c.Op, Row: values(c.Row), Before: values(c.Before), Unavailable: c.Unavailable, Position: c.Position.Text, Partition: c.Partition}
	}
	return out
}

func (t *fixtureTest) want() *rehearsal.Want {
	w := &rehearsal.Want{Outcomes: map[int]string{}, Rows: map[string][]map[string]rehearsal.Value{}}
	for i, c := range t.Changes {
		w.Outcomes[i+1] = c.Outcome
	}
	for _, x := range t.Writes {
		op, table := x.what()
		w.Writes = append(w.Writes, rehearsal.WantWrite{Op: op, Table: table, Row: values(x.Row), Position: x.Position.Text})
	}
	for _, l := range t.DeadLetters {
		w.Letters = append(w.Letters, rehearsal.WantLetter(l))
	}
	for _, s := range t.State {
		w.State = append(w.State, rehearsal.WantState(s))
	}
	for table, rows := range t.Rows {
		w.Rows[table] = []map[string]rehearsal.Value{}
		for _, row := range rows {
			w.Rows[table] = append(w.Rows[table], values(row))
		}
	}
	return w
}

func (w *fixtureWrite) what() (op, table string) {
	for _, x := range []struct {
		op    string
		table *string
	}{{"upsert", w.Upsert}, {"update", w.Update}, {"delete", w.Delete}, {"truncate", w.Truncate}, {"sweep", w.Sweep}} {
		if x.table != nil {
			return x.op, *x.table
		}
	}
	return "", ""
}

// played is the outcome of one test.
type played struct {
	File   string `json:"file"`
	Name   string `json:"name"`
	Same   bool   `json:"same"`
	Script string `json:"script"`
}

// play runs the tests of a fixture. An error is about the fixture.
func (f *fixture) play(ctx context.Context, name string, file *config.File, fallback string) ([]played, error) {
	tables, err := f.tables(name, file)
	if err != nil {
		return nil, err
	}
	var out []played
	for i, t := range f.Tests {
		p, err := f.pipeline(name, file, fallback) // anew: steps remember what they have met
		if err != nil {
			return nil, err
		}
		w := rehearsal.NewWorld(f.Source, tables)
		w.Partitions = f.Partitions
		result, err := rehearsal.Play(ctx, p, w, t.changes())
		if err != nil {
			line, _ := file.Locate(fmt.Sprintf("tests[%d]", i), 0)
			return nil, fmt.Errorf("%s:%d: test %q: %w", name, line, t.Name, err)
		}
		script, same := result.Compare(t.want())
		out = append(out, played{name, t.Name, same, script})
	}
	return out, nil
}
