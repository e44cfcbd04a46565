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
}

// The order is that of names' bytes: relname has collation C. Columns that an
// index only includes are not part of its key.
const indexesSQL = `
SELECT (i.indkey::int2[])[0:i.indnkeyatts - 1], i.indisprimary, i.indisreplident, i.indimmediate
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

// resolveKey is the key of the rows behind rel. primary says that it is a
// primary key. agrees: the catalog has rel's columns.
//
// RELATION flags the columns of the replica identity as of the WAL, in attribute
// order. Flags decide, and the catalog only orders them, if it has the same set.
// Where flags say nothing of the key (FULL flags every column, NOTHING none, an
// index may be another than the primary key's), the catalog's key is taken if
// rel has all its columns.
func (f *facts) resolveKey(rel *pgoutput.Relation, agrees bool) (key []int, primary bool) {
	columns := make([]string, len(rel.Columns))
	var flagged []int
	for i, col := range rel.Columns {
		columns[i] = col.Name
		if col.Replicated {
			flagged = append(flagged, i)
		}
	}
	pk := f.primary()
	pkKey := f.keyOf(pk, columns)
	switch {
	case rel.Identity == cdc.IdentityIndex && pkKey != nil:
		return pkKey, true
	case rel.Identity == cdc.IdentityIndex && len(flagged) > 0:
		return ordered(flagged, f.keyOf(f.ofIdentity(), columns)), false
	case rel.Identity == cdc.IdentityDefault && len(flagged) > 0:
		if agrees && pk != nil && pkKey == nil {
			return nil, false // the publication's column list has a part of the primary key only
		}
		return ordered(flagged, pkKey), true
	case rel.Identity == cdc.IdentityDefault && pk != nil && pk.immediate:
		return nil, false // it would have been flagged: the catalog is ahead
	}
	x := f.key()
	return f.keyOf(x, columns), x != nil && x.primary
}

// ordered puts flagged columns into the order of key if they are the same set.
func ordered(flagged, key []int) []int {
	if sameSet(flagged, key) {
		return key
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
