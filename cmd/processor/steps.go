package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/tailrace/tailrace/internal/cli"
	"github.com/tailrace/tailrace/internal/config"
	"github.com/tailrace/tailrace/processors/steps"
)

// minHMACKey is how long a key has to be, so that nobody tries them all.
const minHMACKey = 16

// stepList is the steps of a file, and where they stand in it.
type stepList struct {
	name string // of the file
	file *config.File
	list []stepSettings
}

func (s *settings) steps(name string, file *config.File) *stepList {
	return &stepList{name: filepath.Clean(name), file: file, list: s.Steps}
}

// problem is a fault of step i as a place in the file.
func (l *stepList) problem(i int, f *steps.Fault) config.Problem {
	path := l.path(i)
	if f.Path != "" {
		path += "." + f.Path
	}
	line, column := l.file.Locate(path, max(f.Offset, 0))
	return config.Problem{File: l.name, Line: line, Column: column, Path: path, Message: f.Message}
}

// path is the key of step i, which is its name as well.
func (l *stepList) path(i int) string { return "steps[" + strconv.Itoa(i) + "]." + l.list[i].kind() }

// kind is the step's key.
func (s *stepSettings) kind() string {
	switch {
	case s.Filter != nil:
		return "filter"
	case s.Project != nil:
		return "project"
	case s.Map != nil:
		return "map"
	case s.Mask != nil:
		return "mask"
	case s.Route != nil:
		return "route"
	case s.Latest != nil:
		return "latest"
	}
	return "flatten"
}

// build makes the steps. What is wrong with them is a config.Problems.
func (l *stepList) build() ([]steps.Config, error) {
	var problems config.Problems
	out := make([]steps.Config, len(l.list))
	for i := range l.list {
		s := &l.list[i]
		made, err := s.definition()
		if err != nil {
			for _, fault := range steps.FaultsOf(err) {
				problems = append(problems, l.problem(i, &fault))
			}
		}
		out[i] = steps.Config{Name: l.path(i), Tables: s.Tables, Step: made}
	}
	if len(problems) == 0 {
		if _, err := steps.Entities(out); err != nil {
			line, column := l.file.Locate("steps", 0)
			problems = append(problems, config.Problem{File: l.name, Line: line, Column: column, Path: "steps", Message: err.Error()})
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return out, nil
}

// definition makes one step.
func (s *stepSettings) definition() (steps.Definition, error) {
	switch {
	case s.Filter != nil:
		return steps.NewFilter(*s.Filter)
	case s.Project != nil:
		p := s.Project
		return steps.NewProject(steps.ProjectConfig{Keep: p.Keep, Drop: p.Drop, Rename: p.Rename, Cast: p.Cast, Key: p.Key})
	case s.Map != nil:
		return steps.NewMap(s.Map.Set)
	case s.Mask != nil:
		return s.Mask.definition()
	case s.Route != nil:
		r := s.Route
		return steps.NewRoute(steps.RouteConfig{Table: r.Table, Topic: r.Topic, Targets: r.Targets, Merge: r.Merge})
	case s.Flatten != nil:
		f := s.Flatten
		return steps.NewFlatten(steps.FlattenConfig{Deletes: f.Deletes, AddFields: f.AddFields, Prefix: f.Prefix})
	}
	if s.Latest != nil {
		return steps.NewLatest(steps.LatestConfig{Table: s.Latest.Table, Key: s.Latest.Key, Keys: s.Latest.Keys})
	}
	return nil, errors.New("an empty step")
}

// definition reads the files of the keys.
func (m *maskSettings) definition() (steps.Definition, error) {
	columns := map[string]steps.MaskConfig{}
	for name, c := range m.Columns {
		how := steps.MaskConfig{Asterisks: c.Asterisks, Truncate: c.Truncate, Optional: c.Optional}
		if c.HMAC != nil {
			path := "columns." + name + ".hmac.key_file"
			key, err := cli.Secret(path, c.HMAC.KeyFile)
			if err == nil && len(key) < minHMACKey {
				err = fmt.Errorf("the key has %d characters, want at least %d", len(key), minHMACKey)
			}
			if err != nil {
				return nil, &steps.Fault{Path: path, Offset: -1, Message: err.Error()}
			}
			how.HMAC = []byte(key)
		}
		columns[name] = how
	}
	return steps.NewMask(columns)
}

// Validate checks the patterns.
func (s *stepSettings) Validate(report config.Report) {
	for i, p := range s.Tables {
		if err := steps.ValidPattern(p); err != nil {
			report("tables["+strconv.Itoa(i)+"]", "%s", err)
		}
	}
}
