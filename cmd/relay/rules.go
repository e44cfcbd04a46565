package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/cli"
)

// ruleBook is tables.overrides ready to be asked for a table. Safe for concurrent
// use.
type ruleBook struct {
	entries  []override // patterns in the order of their texts, then exact names
	debezium bool       // format.compat
}

// override is one entry.
type override struct {
	table            pattern
	include, exclude patterns // of columns
	masks            []columnMask
	settings         tableOverride
}

// columnMask is a mask of the columns that a pattern fits.
type columnMask struct {
	column pattern
	mask   maskSettings
	key    []byte // of a hash
}

// ruleBook reads the files that hold the keys of hashes.
func (s *settings) ruleBook() (*ruleBook, error) {
	b := &ruleBook{debezium: s.Format.Compat == "debezium"}
	for table, o := range s.Tables.Overrides {
		e, err := newOverride(table, o)
		if err != nil {
			return nil, err
		}
		b.entries = append(b.entries, e)
	}
	slices.SortFunc(b.entries, func(a, b override) int { return inOrder(a.table, b.table) })
	return b, nil
}

// inOrder puts patterns before exact names, and otherwise goes by the text.
func inOrder(a, b pattern) int {
	switch {
	case a.exact == b.exact:
		return cmp.Compare(a.text, b.text)
	case a.exact:
		return 1
	}
	return -1
}

func newOverride(table string, o tableOverride) (e override, err error) {
	wrong := func(text string, cause error) {
		if cause != nil && err == nil {
			err = fmt.Errorf("tables.overrides.%s: %s: %w", table, text, cause)
		}
	}
	var cause error
	e.settings = o
	e.table, cause = newPattern(table)
	wrong(table, cause)
	e.include = newPatterns(o.Columns.Include, func(i int, err error) { wrong(o.Columns.Include[i], err) })
	e.exclude = newPatterns(o.Columns.Exclude, func(i int, err error) { wrong(o.Columns.Exclude[i], err) })
	for _, column := range slices.Sorted(maps.Keys(o.Mask)) {
		m := columnMask{mask: o.Mask[column]}
		m.column, cause = newPattern(column)
		wrong(column, cause)
		if h := m.mask.Hash; h != nil {
			key, cause := cli.Secret("key_file", h.KeyFile)
			if cause == nil && len(key) < minHashKey {
				cause = fmt.Errorf("%s: the key has %d characters, want at least %d", h.KeyFile, len(key), minHashKey)
			}
			wrong("mask."+column+".hash", cause)
			m.key = []byte(key)
		}
		e.masks = append(e.masks, m)
	}
	slices.SortStableFunc(e.masks, func(a, b columnMask) int { return inOrder(a.column, b.column) })
	return e, err
}

// minHashKey keeps keys away that are found by trying.
const minHashKey = 16

// merged is what all entries that fit a table say together.
type merged struct {
	key              []string
	include, exclude patterns
	masks            []columnMask // patterns, then names; the last that fits a column is the column's
	topic, where     string
}

func (b *ruleBook) merged(table string) merged {
	var m merged
	for _, e := range b.entries {
		if !e.table.fits(table) {
			continue
		}
		if len(e.settings.Key) > 0 {
			m.key = e.settings.Key
		}
		m.include, m.exclude = append(m.include, e.include...), append(m.exclude, e.exclude...)
		m.masks = append(m.masks, e.masks...)
		m.topic, m.where = cmp.Or(e.settings.Topic, m.topic), cmp.Or(e.settings.Where, m.where)
	}
	slices.SortStableFunc(m.masks, func(a, b columnMask) int {
		switch {
		case a.column.exact == b.column.exact:
			return 0
		case a.column.exact:
			return 1
		}
		return -1
	})
	return m
}

// where is the row filter of a table; "" is none.
func (b *ruleBook) where(table string) string { return b.merged(table).where }

func (m *merged) keeps(column string) bool {
	return (len(m.include) == 0 || m.include.fit(column)) && !m.exclude.fit(column)
}

// maskOf is the mask that counts for a column.
func (m *merged) maskOf(column string) *columnMask {
	for i := len(m.masks) - 1; i >= 0; i-- {
		if m.masks[i].column.fits(column) {
			return &m.masks[i]
		}
	}
	return nil
}

// rules are those of one table version.
//
// A mask that names a column whose values it cannot replace, such as a hash of a
// number, must not let them through: the column is left out, and relay check
// says so. A pattern is about columns of characters only.
func (b *ruleBook) rules(t *cdc.Table) cdc.Rules {
	m := b.merged(t.String())
	r := cdc.Rules{Key: slices.Clone(m.key)}
	masks, hidden := map[string]*cdc.Mask{}, map[string]bool{}
	for i := range t.Columns {
		c := &t.Columns[i]
		mask := m.maskOf(c.Name)
		switch {
		case mask == nil:
		case mask.applies(c):
			masks[c.Name] = mask.of(c, b.debezium)
		case mask.column.exact:
			hidden[c.Name] = true
		case b.debezium && mask.mask.Truncate == nil:
			masks[c.Name] = cdc.Unmasked()
		}
	}
	if len(masks) > 0 {
		r.Mask = func(column string) *cdc.Mask { return masks[column] }
	}
	if len(m.include)+len(m.exclude)+len(hidden) > 0 {
		r.Keep = func(column string) bool { return m.keeps(column) && !hidden[column] }
	}
	return r
}

// applies tells whether the values of a column can have the mask.
func (m *columnMask) applies(c *cdc.Column) bool {
	if m.mask.Truncate != nil {
		return cdc.Truncatable(c)
	}
	return cdc.Maskable(c)
}

// of is the mask for a column that it applies to; nil where it changes nothing.
func (m *columnMask) of(c *cdc.Column, debezium bool) *cdc.Mask {
	switch s := m.mask; {
	case s.Asterisks != nil:
		return cdc.Asterisks(*s.Asterisks)
	case s.Truncate != nil:
		return cdc.Truncate(*s.Truncate, c, debezium)
	case s.Hash != nil:
		return cdc.Hash(m.key, c)
	}
	h := m.mask.HashDebezium
	mask, err := cdc.DebeziumHash(h.Algorithm, h.Salt, h.Version, c)
	if err != nil {
		panic("a hash that the configuration should not have let through: " + err.Error())
	}
	return mask
}

// shaped is a table version as it is published.
func (b *ruleBook) shaped(t *cdc.Table) (*cdc.Table, error) {
	return cdc.Shaped(t, b.rules(t), b.debezium)
}

// findings tells what of the overrides does not fit a table.
func (b *ruleBook) findings(t *cdc.Table) []cdc.Finding {
	var list []cdc.Finding
	add := func(level cdc.Level, name, remedy, what string, args ...any) {
		list = append(list, cdc.Finding{Level: level, Name: name, What: fmt.Sprintf("table %s: ", t) + fmt.Sprintf(what, args...), Remedy: remedy})
	}
	m := b.merged(t.String())
	column := map[string]*cdc.Column{}
	for i := range t.Columns {
		column[t.Columns[i].Name] = &t.Columns[i]
	}
	if _, err := b.shaped(t); err != nil {
		f := cdc.Finding{Level: cdc.LevelError, Name: "overrides", What: err.Error(), Remedy: "correct tables.overrides"}
		var stop *cdc.StopError
		if errors.As(err, &stop) {
			f.What, f.Remedy = stop.What, stop.Next
		}
		list = append(list, f)
	}
	for _, mask := range m.masks {
		if mask.column.exact && column[mask.column.text] == nil {
			add(cdc.LevelWarning, "mask", "correct tables.overrides, if the column has another name: nothing is masked", "a mask names column %q, which it does not have", mask.column.text)
		}
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		mask := m.maskOf(c.Name)
		if mask == nil || !m.keeps(c.Name) {
			continue
		}
		if mask.column.exact && !mask.applies(c) {
			add(cdc.LevelError, "mask", "leave the column out by columns.exclude", "column %q is of type %s, whose values the mask cannot replace; the column would not be published", c.Name, c.Type.Name)
		}
		if mask.applies(c) && b.isKey(t, &m, c.Name) && mask.mask.Hash == nil && mask.mask.HashDebezium == nil {
			add(cdc.LevelWarning, "mask", "hash the column instead, or choose another key", "column %q of the key is masked, so that different rows have one key", c.Name)
		}
	}
	return list
}

func (b *ruleBook) isKey(t *cdc.Table, m *merged, column string) bool {
	if len(m.key) > 0 {
		return slices.Contains(m.key, column)
	}
	return slices.ContainsFunc(t.Key, func(i int) bool { return t.Columns[i].Name == column })
}
