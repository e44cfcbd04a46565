package schema

import (
	"slices"

	"github.com/tailrace/tailrace/cdc"
)

// notNull tells whether the column's field has no null: key columns as the
// table says, others only while the catalog agrees with the WAL.
func notNull(t *cdc.Table, i int) bool {
	c := &t.Columns[i]
	if !t.Facts && !t.IsKey(i) {
		return false
	}
	if c.NotNull {
		return true
	}
	for d := c.Type; d != nil && d.Kind == cdc.KindDomain; d = d.Base {
		if d.NotNull {
			return true
		}
	}
	return false
}

// Widen is a copy of t whose column takes a row that a plan of t refused with
// cdc.FactNotNull. It is safe for concurrent use.
//
// A NOT NULL column becomes nullable. An array of an enum, whose elements
// Debezium declares without null, gets nullable elements. An array of numbers,
// times or bytes that is nullable already becomes an array of texts, for a row
// with a multidimensional value. A caller repeats Widen and Plan until the row
// fits; that takes two rounds at most.
func Widen(t *cdc.Table, column int) *cdc.Table {
	w := *t
	w.Columns = slices.Clone(t.Columns)
	c := &w.Columns[column]
	c.Type = widenType(c.Type, !notNull(t, column))
	c.NotNull = false
	return &w
}

func widenType(t *cdc.Type, nullable bool) *cdc.Type {
	if t == nil {
		return nil
	}
	n := *t
	switch {
	case t.Kind == cdc.KindDomain:
		n.NotNull = false
		n.Base = widenType(t.Base, nullable)
	case t.Kind == cdc.KindArray && t.Elem != nil && !isWidened(t.Elem) && (nullable || t.Elem.Kind == cdc.KindEnum):
		e := t.Elem
		n.Elem = &cdc.Type{OID: e.OID, Schema: e.Schema, Name: e.Name, Kind: cdc.KindDomain, Base: e, BaseModifier: -1}
	default:
		return t
	}
	return &n
}

// isWidened recognises what Widen makes of an array's element type: a domain
// over the type under the type's own name.
func isWidened(t *cdc.Type) bool {
	return t.Kind == cdc.KindDomain && t.Base != nil && t.Base.Name == t.Name && t.Base.OID == t.OID
}

// Nullable is a copy of t as it is published while its facts are unknown: every
// column outside the key nullable, without default. It is safe for concurrent use.
func Nullable(t *cdc.Table) *cdc.Table {
	w := *t
	w.Facts = false
	w.Columns = slices.Clone(t.Columns)
	for i := range w.Columns {
		if !t.IsKey(i) {
			w.Columns[i].NotNull, w.Columns[i].Default = false, ""
		}
	}
	return &w
}

// AddLabels is a copy of t whose enum column also has the labels that text, a
// value of it or of its array, shows: for a label that the catalog no longer
// lists. When text shows nothing new, because it is not the value that was
// refused, the copy lists no labels, so that any value is taken. It is safe for
// concurrent use.
func AddLabels(t *cdc.Table, column int, text []byte) *cdc.Table {
	w := *t
	w.Columns = slices.Clone(t.Columns)
	c := &w.Columns[column]
	known := len(labelsOf(c.Type))
	c.Type = addLabels(c.Type, text)
	if len(labelsOf(c.Type)) == known {
		c.Type = withLabels(c.Type, nil)
	}
	return &w
}

// labelsOf are the labels of an enum, or of what a domain or array is made of.
func labelsOf(t *cdc.Type) []string {
	for t != nil {
		switch t.Kind {
		case cdc.KindDomain:
			t = t.Base
		case cdc.KindArray:
			t = t.Elem
		default:
			return t.Labels
		}
	}
	return nil
}

func withLabels(t *cdc.Type, labels []string) *cdc.Type {
	if t == nil {
		return nil
	}
	n := *t
	switch t.Kind {
	case cdc.KindDomain:
		n.Base = withLabels(t.Base, labels)
	case cdc.KindArray:
		n.Elem = withLabels(t.Elem, labels)
	default:
		n.Labels = labels
	}
	return &n
}

func addLabels(t *cdc.Type, text []byte) *cdc.Type {
	labels := labelsOf(t)
	array := t
	for array != nil && array.Kind == cdc.KindDomain {
		array = array.Base
	}
	if array == nil || array.Kind != cdc.KindArray {
		return withLabels(t, withLabel(labels, string(text)))
	}
	a, reason := openArray(text, ',')
	for reason == "" {
		var item element
		if item, reason = a.next(nil); reason != "" || item.end {
			break
		}
		if !item.null && !item.nested {
			labels = withLabel(labels, string(item.text))
		}
	}
	return withLabels(t, labels)
}

func withLabel(labels []string, label string) []string {
	if slices.Contains(labels, label) {
		return labels
	}
	return append(slices.Clone(labels), label)
}
