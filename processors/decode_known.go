package processors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/sinks"
)

// This file has what a decoder remembers from record to record: readers of schemas, where
// the columns of a key are in a row, origins, and the table's text.

// keyIndexes is keyIndexes for two readers, from memory after the first time.
func (d *decoder) keyIndexes(key, row *schema.Reader) ([]int, error) {
	pair := [2]*schema.Reader{key, row}
	if found, ok := d.keys[pair]; ok {
		return found, nil
	}
	found, err := keyIndexes(key.Columns(), row.Columns())
	if err != nil {
		return nil, err
	}
	if len(d.keys) >= maxReaders {
		clear(d.keys)
	}
	d.keys[pair] = found
	return found, nil
}

// keyIndexes finds the key's columns among the row's.
func keyIndexes(key, columns []schema.Field) ([]int, error) {
	indexes := make([]int, len(key))
	for i := range key {
		indexes[i] = -1
		for j := range columns {
			if columns[j].Name == key[i].Name {
				indexes[i] = j
			}
		}
		if indexes[i] < 0 {
			return nil, &sinks.RecordError{Class: sinks.ClassMapping, Reason: fmt.Sprintf("key column %q is not in the row", key[i].Name), Next: "publish the column, or choose another key at the relay"}
		}
	}
	return indexes, nil
}

func (d *decoder) origin(topic string, s *schema.Source) *sinks.Origin {
	if o := d.last; o != nil && o.Topic == topic && o.Name == s.Name && o.Database == s.DB && o.Schema == s.Schema && o.Table == s.Table {
		return o
	}
	o := sinks.Origin{Topic: topic, Name: s.Name, Database: s.DB, Schema: s.Schema, Table: s.Table}
	if d.origins[o] == nil {
		if len(d.origins) >= maxReaders {
			clear(d.origins)
		}
		d.origins[o] = &o
	}
	d.last = d.origins[o]
	return d.last
}

// reader compiles a schema, once.
func (d *decoder) reader(ctx context.Context, id int) (*schema.Reader, error) {
	if r := d.readers[id]; r != nil {
		return r, nil
	}
	text, err := d.schemas.SchemaByID(ctx, id)
	if errors.Is(err, ErrUnknownSchema) {
		since, seen := d.unknown[id]
		if !seen {
			since = time.Now()
			d.unknown[id] = since
		}
		if time.Since(since) >= unknownFor {
			return nil, &sinks.RecordError{Class: sinks.ClassDecode, Reason: fmt.Sprintf("the registry has no schema %d", id), Next: "restore the registry's schemas; is registry.url the relay's?"}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", id, err)
	}
	delete(d.unknown, id)
	r, err := schema.NewReader(text)
	if err != nil {
		return nil, undecodable(fmt.Errorf("schema %d: %w", id, err))
	}
	if len(d.readers) >= maxReaders {
		clear(d.readers)
	}
	d.readers[id] = r
	return r, nil
}

// tableText is schema.table of the event that was read last; most records are of the
// table of the one before.
func (d *decoder) tableText(s *schema.Source) string {
	if d.table.of.Schema != s.Schema || d.table.of.Table != s.Table {
		d.table.of, d.table.text = schema.Source{Schema: s.Schema, Table: s.Table}, s.Schema+"."+s.Table
	}
	return d.table.text
}
