package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/steps"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/schema/registry"
	"github.com/tailrace/tailrace/sinks"
)

// schemaCheck takes the shapes of topics' rows through the steps of a pipeline.
type schemaCheck struct {
	linter *linter
	list   *stepList
	steps  []steps.Config
	skip   bool // errors.on_poison: skip

	concerned []bool // by step: whether a topic's table fits its tables
	known     int    // topics of which the registry has schemas
}

// run asks the registry for the schemas of the topics of source, or of those given.
func (k *schemaCheck) run(ctx context.Context, s *settings, topics []string) error {
	if len(topics) == 0 {
		topics = s.Source.Topics
	}
	if len(topics) == 0 {
		k.note("source.topics_pattern", "the topics of a pattern are not looked up; --topic names one whose schemas the steps are checked against")
		return nil
	}
	client, err := s.Registry.Client(registry.Metrics(ops.NewRegistry("processor"), "processor"))
	if err != nil {
		return err
	}
	k.concerned = make([]bool, len(k.steps))
	for _, topic := range topics {
		if err := k.topic(ctx, client, topic); err != nil {
			return fmt.Errorf("schemas of topic %s: %w", topic, err)
		}
	}
	for i, c := range k.steps {
		if k.known > 0 && !k.concerned[i] && len(c.Tables) > 0 {
			k.add(i, steps.Fault{Offset: -1, Warning: true, Message: "no topic holds a table that fits tables: " + strings.Join(c.Tables, ", ")}, "")
		}
	}
	return nil
}

// note is a warning about a key outside of the steps.
func (k *schemaCheck) note(path, message string) {
	line, column := k.list.file.Locate(path, 0)
	k.linter.add(finding{File: k.list.name, Line: line, Column: column, Level: levelWarning, Path: path, Message: message})
}

// topic checks the steps against the latest schemas of a topic.
func (k *schemaCheck) topic(ctx context.Context, client *registry.Client, topic string) error {
	_, values, err := client.Versions(ctx, topic+"-value")
	if err != nil {
		return err
	}
	_, keys, err := client.Versions(ctx, topic+"-key")
	if err != nil {
		return err
	}
	if len(values) == 0 {
		k.note("source.topics", fmt.Sprintf("the registry has no subject %s-value: the steps are not checked for topic %s", topic, topic))
		return nil
	}
	key := ""
	if len(keys) > 0 {
		key = keys[len(keys)-1]
	}
	shape, table, err := shapeOf(values[len(values)-1], key)
	if err != nil {
		k.note("source.topics", fmt.Sprintf("topic %s: %v", topic, err))
		return nil
	}
	k.known++
	k.check(shape, table, topic)
	return nil
}

// shapeOf is the shape of the rows that a topic's schemas describe, and their
// table, which names the schema of the value.
func shapeOf(value, key string) (shape *sinks.Shape, table string, err error) {
	v, err := schema.NewReader(value)
	if err != nil {
		return nil, "", err
	}
	if !v.Envelope() {
		return nil, "", fmt.Errorf("its schema is not that of a row change")
	}
	var columns []schema.Field
	if key != "" {
		r, err := schema.NewReader(key)
		if err != nil {
			return nil, "", err
		}
		columns = r.Columns()
	}
	if shape, err = processors.ShapeOf(v.Columns(), columns); err != nil {
		return nil, "", err
	}
	var record struct{ Name, Namespace string }
	if err := json.Unmarshal([]byte(value), &record); err != nil {
		return nil, "", err
	}
	parts := strings.Split(strings.TrimSuffix(record.Namespace+"."+record.Name, ".Envelope"), ".")
	return shape, strings.Join(parts[max(0, len(parts)-2):], "."), nil
}

// check takes one shape through all steps. Behind a step that does not fit, nothing
// more can be said.
func (k *schemaCheck) check(shape *sinks.Shape, table, topic string) {
	for i := range k.steps {
		c := &k.steps[i]
		if !c.Concerns(table) {
			continue
		}
		k.concerned[i] = true
		out, faults := c.Check(table, shape)
		for _, f := range faults {
			k.add(i, f, topic)
		}
		if out == nil {
			return
		}
		shape = out
	}
}

func (k *schemaCheck) add(i int, f steps.Fault, topic string) {
	p := k.list.problem(i, &f)
	found := finding{File: p.File, Line: p.Line, Column: p.Column, Level: levelError, Path: p.Path, Message: p.Message}
	switch {
	case f.Differences && k.skip:
		found.Message += "; with errors.on_poison: skip, a change that was skipped is missing in what is compared: choose park_key or stop"
	case f.Warning:
		found.Level = levelWarning
	}
	if topic != "" {
		found.Topics = []string{topic}
	}
	k.linter.add(found)
}
