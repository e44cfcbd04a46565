package schema

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/tailrace/tailrace/cdc"
)

// A key's schema stands for good. Where a record goes can depend on the schema's
// id (kafka.partitioner: debezium), and readers compare keys byte for byte, so a
// default or a label that is new must not make another schema of it. What makes
// another key is another shape: other names, or other types.
//
// Whether a column can be NULL is no part of the shape, since facts about it can
// be unknown for a while (cdc.Table.Facts): the key is written as the pinned schema
// has it. So is the place of null in a union, which depends on the default.

// PinnedPlan is Plan for a topic in which the table's key has a schema already. A
// table whose key has another shape is a *cdc.KeyChangedError; key is the text.
func (e *Encoder) PinnedPlan(ctx context.Context, t *cdc.Table, topic, key string) (*Plan, error) {
	p, err := compilePlan(e.settings, t, topic)
	if err != nil {
		return nil, err
	}
	if err := p.pin(key); err != nil {
		return nil, err
	}
	if p.keyID, p.valueID, err = e.accept(ctx, "table "+t.String(), topic, p.keySchema, p.valueSchema); err != nil {
		return nil, err
	}
	return p, nil
}

// pin has the plan write keys by a schema that is older than its table.
func (p *Plan) pin(text string) error {
	was, err := parseTree(text)
	if err != nil {
		return fmt.Errorf("table %s: pinned key schema: %w", p.table, err)
	}
	if len(p.keys) == 0 {
		return &cdc.KeyChangedError{Was: describeKey(was), Is: "none"}
	}
	is, err := parseTree(p.keySchema)
	if err != nil {
		return fmt.Errorf("table %s: key schema: %w", p.table, err)
	}
	if !sameKey(was, is) {
		return &cdc.KeyChangedError{Was: describeKey(was), Is: describeKey(is)}
	}
	p.keySchema, p.pinned = text, true
	if p.keyNode, err = parseSchema(text); err != nil {
		return fmt.Errorf("table %s: pinned key schema: %w", p.table, err)
	}
	for i := range p.keys {
		p.keys[i].follow(&was.fields[i])
	}
	return nil
}

// sameKey compares names and types.
func sameKey(a, b *schemaTree) bool {
	if len(a.fields) != len(b.fields) {
		return false
	}
	for i := range a.fields {
		x, y := &a.fields[i], &b.fields[i]
		if x.name != y.name || !reflect.DeepEqual(structure(x.typ), structure(y.typ)) {
			return false
		}
	}
	return true
}

// describeKey is a key in a few words, as in "id long, day int io.debezium.time.Date".
func describeKey(t *schemaTree) string {
	words := make([]string, len(t.fields))
	for i, f := range t.fields {
		words[i] = f.name + " " + describe(f.typ)
	}
	return strings.Join(words, ", ")
}

// follow has the field written as a field of the pinned schema has it.
func (f *field) follow(pinned *treeField) {
	filler := zero(f.mapping)
	if f.defAvro != nil {
		filler = f.defAvro
	}
	f.nullable, f.branch, f.null, f.absent = pinned.nullable, nil, nil, filler
	switch {
	case !pinned.nullable:
	case pinned.hasDef && pinned.def != nil: // [T, "null"]
		f.branch, f.null, f.absent = []byte{0}, []byte{2}, []byte{2}
	default: // ["null", T]
		f.branch, f.null, f.absent = []byte{2}, []byte{0}, []byte{0}
	}
}
