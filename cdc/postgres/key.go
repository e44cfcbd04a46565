package postgres

import (
	"slices"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// index is a unique index over columns: no expressions. It may be partial and
// its columns may be nullable.
type index struct {
	numbers   []int16 // of the key columns, in index order
	primary   bool
	identity  bool // of REPLICA IDENTITY USING INDEX
	immediate bool // false: DEFERRABLE, which a replica identity cannot be
	changed   xid  // the last change of the index
}

// The order is that of names' bytes: relname has collation C. Columns that an
// index only includes are not part of its key.
var indexesSQL = `
SELECT (i.indkey::int2[])[0:i.indnkeyatts - 1], i.indisprimary, i.indisreplident, i.indimmediate, ` + xidOf("i.xmin") + `
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indislive AND i.indexprs IS NULL
ORDER BY c.relname`

func (f *facts) primary() *index {
	if f == nil {
		return nil
	}
	return find(f.indexes, func(x *index) bool { return x.primary })
}

// ofIdentity is the index of REPLICA IDENTITY USING INDEX.
func (f *facts) ofIdentity() *index {
	if f == nil {
		return nil
	}
	return find(f.indexes, func(x *index) bool { return x.identity })
}

// key is the index that makes the record key: the primary key's, else that of
// the replica identity, whose columns every old row has, else the first by name.
func (f *facts) key() *index {
	if x := f.primary(); x != nil {
		return x
	}
	if x := f.ofIdentity(); x != nil && f.identity == cdc.IdentityIndex {
		return x
	}
	if f == nil || len(f.indexes) == 0 {
		return nil
	}
	return &f.indexes[0]
}

// keyOf is where an index's columns stand in columns; nil when not all do.
func (f *facts) keyOf(x *index, columns []string) []int {
	if x == nil {
		return nil
	}
	key := make([]int, len(x.numbers))
	for i, n := range x.numbers {
		a := find(f.attributes, func(a *attribute) bool { return a.number == n })
		if a == nil {
			return nil
		}
		if key[i] = slices.Index(columns, a.name); key[i] < 0 {
			return nil
		}
	}
	return key
}

// keyChoice is the key of the rows behind a RELATION message.
type keyChoice struct {
	columns   []int
	primary   bool // it is a primary key
	traceless bool // it is the one that was known before; the catalog has another and nothing tells since when
}

// resolveKey is the key of the rows behind rel at a moment.
//
// RELATION flags the columns of the replica identity as of the WAL, in attribute
// order. Flags decide, and the catalog only orders them, if it has the same set.
// Where flags say nothing of the key (FULL flags every column, NOTHING none, an
// index may be another than the primary key's), the version before counts, else
// the catalog's key, if rel has all its columns.
func (f *facts) resolveKey(rel *pgoutput.Relation, m *moment) keyChoice {
	columns := make([]string, len(rel.Columns))
	var flagged []int
	for i, col := range rel.Columns {
		columns[i] = col.Name
		if col.Replicated {
			flagged = append(flagged, i)
		}
	}
	before, known := keyBefore(m.prior, columns)
	pk := f.primary()
	pkKey := f.keyOf(pk, columns)
	switch {
	case rel.Identity == cdc.IdentityIndex && len(flagged) > 0 && pkKey == nil && (len(before) == 0 || sameSet(flagged, before)):
		return keyChoice{columns: ordered(flagged, f.keyOf(f.ofIdentity(), columns), before)}
	case rel.Identity == cdc.IdentityDefault && len(flagged) > 0:
		if f.agrees(rel) && pk != nil && pkKey == nil {
			return keyChoice{} // the publication's column list has a part of the primary key only
		}
		return keyChoice{columns: ordered(flagged, pkKey, before), primary: true}
	case rel.Identity == cdc.IdentityDefault && pk != nil && pk.immediate:
		return keyChoice{columns: before} // it would have been flagged: the catalog is ahead
	}
	x := f.key()
	now := keyChoice{columns: f.keyOf(x, columns), primary: x != nil && x.primary}
	if !known || slices.Equal(before, now.columns) {
		return now
	}
	// A new primary key tells that the older one was gone by then, and any new
	// index tells where there was no key. Nothing tells since when an index is gone.
	traceless := x == nil || !x.primary && len(before) > 0
	if now.columns != nil && (m.tx == 0 || !traceless && !x.changed.after(m.tx)) {
		return now
	}
	if m.tx == 0 && f.agrees(rel) {
		return now
	}
	return keyChoice{columns: before, traceless: traceless}
}

// keyBefore is where the key of the version before stands in columns. known is
// false when there is no such version, or columns lack a part of its key.
func keyBefore(prior *cdc.Table, columns []string) (key []int, known bool) {
	if prior == nil {
		return nil, false
	}
	for _, k := range prior.Key {
		i := slices.Index(columns, prior.Columns[k].Name)
		if i < 0 {
			return nil, false
		}
		key = append(key, i)
	}
	return key, true
}

// ordered puts flagged columns into the order of the first key that has the same
// set.
func ordered(flagged []int, keys ...[]int) []int {
	for _, key := range keys {
		if sameSet(flagged, key) {
			return key
		}
	}
	return flagged
}

// sameSet compares flagged, which is ascending, with a key.
func sameSet(flagged, key []int) bool {
	return slices.Equal(flagged, slices.Sorted(slices.Values(key)))
}

func find[T any](s []T, ok func(*T) bool) *T {
	for i := range s {
		if ok(&s[i]) {
			return &s[i]
		}
	}
	return nil
}
