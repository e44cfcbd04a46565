package cdc

// Table is one version of a table's shape: what a row of the WAL is read with.
// It is immutable once published by a source; a changed relation is a new
// Table. Safe for concurrent reading.
type Table struct {
	OID      uint32
	Schema   string
	Name     string
	Identity Identity
	Columns  []Column // in the order of the relation message
	// Key lists the columns of the record key by index into Columns, in key
	// order: the primary key's, else a unique index's. Empty: no key.
	Key []int
	// Facts is true when the catalog agreed with the relation message, so that
	// NotNull and Default hold for it. Otherwise every column outside the key is
	// nullable and has no default.
	Facts bool
}

// String is schema.table, as in metric labels and messages.
func (t *Table) String() string { return t.Schema + "." + t.Name }

// IsKey tells whether column i is part of the record key.
func (t *Table) IsKey(i int) bool {
	for _, k := range t.Key {
		if k == i {
			return true
		}
	}
	return false
}

// Identity is a table's replica identity: what an UPDATE or DELETE carries of
// the old row (ALTER TABLE … REPLICA IDENTITY).
type Identity byte

// The replica identities, as in pg_class.relreplident.
const (
	IdentityDefault Identity = 'd'
	IdentityNothing Identity = 'n'
	IdentityFull    Identity = 'f'
	IdentityIndex   Identity = 'i'
)

// Column is one column of a table version.
type Column struct {
	Name     string
	Type     *Type
	Modifier int32 // atttypmod; -1 for none
	NotNull  bool
	// Default is the expression of the column's default as pg_get_expr prints
	// it, or "" for none. A serial column has nextval(…).
	Default string
	// Params are entries of connect.parameters that a transform asks for: masked,
	// truncateLength.
	Params []Param `json:",omitempty"`
	// KeyOnly is true for a column that rules leave out of the value and that the
	// record key keeps, as Debezium's column.exclude.list does.
	KeyOnly bool `json:",omitempty"`
	// Replicated is true when the column is part of the replica identity, as the
	// relation message flags it (under FULL every column is).
	Replicated bool
}

// Param is one entry of connect.parameters.
type Param struct{ Name, Value string }

// Type is a PostgreSQL type with the catalog facts that a mapping needs.
type Type struct {
	OID    uint32
	Schema string // pg_catalog for the built-in ones
	Name   string // pg_type.typname: int4, not integer
	Kind   TypeKind
	Elem   *Type // of an array
	Base   *Type // of a domain, one level down
	// BaseModifier is the type modifier that a domain gives its base type; -1
	// for none.
	BaseModifier int32
	NotNull      bool     // a domain with NOT NULL
	Labels       []string // of an enum, in enumsortorder
}

// TypeKind tells what sort of type it is. Arrays are a kind of their own here,
// though pg_type.typtype calls them base types.
type TypeKind byte

// The kinds, as in pg_type.typtype except KindArray.
const (
	KindBase       TypeKind = 'b'
	KindArray      TypeKind = 'a'
	KindEnum       TypeKind = 'e'
	KindDomain     TypeKind = 'd'
	KindComposite  TypeKind = 'c'
	KindRange      TypeKind = 'r'
	KindMultirange TypeKind = 'm'
	KindPseudo     TypeKind = 'p'
)
