package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// Type is a type with the facts that a mapping needs. It is read once and then
// remembered until ForgetTypes. A type that is gone, which backlog can still
// have, is given as PostgreSQL's own unknown, with its number.
func (c *Catalog) Type(ctx context.Context, oid uint32) (*cdc.Type, error) {
	if err := c.loadTypes(ctx, []uint32{oid}); err != nil {
		return nil, err
	}
	return c.types[oid], nil
}

// ForgetTypes has every type read again when it is next asked for. The server
// announces neither a new label of an enum nor a change of a domain.
func (c *Catalog) ForgetTypes() { clear(c.types) }

// typesSQL reads types with the types below them. An array is a type that its
// element names as typarray: other types have elements, too (name, point,
// int2vector), and text forms of their own (PostgreSQL documentation, chapter
// 52, pg_type).
const typesSQL = `
WITH RECURSIVE wanted(oid) AS (
	SELECT unnest($1::oid[])
	UNION
	SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE e.oid END
	FROM wanted w JOIN pg_catalog.pg_type t ON t.oid = w.oid
	LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
	WHERE t.typtype = 'd' OR e.oid IS NOT NULL
)
SELECT t.oid, n.nspname::text, t.typname::text, t.typtype::text,
	CASE WHEN e.oid IS NULL THEN 0::oid ELSE e.oid END, t.typbasetype, t.typtypmod, t.typnotnull,
	ARRAY(SELECT l.enumlabel::text FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder)
FROM wanted w JOIN pg_catalog.pg_type t ON t.oid = w.oid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid`

// loadTypes fills the memory with what is missing of oids, in one query.
func (c *Catalog) loadTypes(ctx context.Context, oids []uint32) error {
	var missing []uint32
	for _, oid := range oids {
		if c.types[oid] == nil {
			missing = append(missing, oid)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	type link struct{ elem, base uint32 }
	links := map[uint32]link{}
	rows, _ := c.conn.Query(ctx, typesSQL, missing)
	var kind string
	var l link
	loaded, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*cdc.Type, error) {
		t := new(cdc.Type)
		err := row.Scan(&t.OID, &t.Schema, &t.Name, &kind, &l.elem, &l.base, &t.BaseModifier, &t.NotNull, &t.Labels)
		if err != nil {
			return nil, err
		}
		t.Kind = cdc.TypeKind(kind[0])
		if l.elem != 0 {
			t.Kind = cdc.KindArray
		}
		if t.Kind != cdc.KindEnum {
			t.Labels = nil
		}
		links[t.OID] = l
		return t, nil
	})
	if err != nil {
		return fmt.Errorf("read types: %w", err)
	}
	fresh := map[uint32]*cdc.Type{}
	for _, t := range loaded {
		fresh[t.OID] = t
	}
	for _, t := range loaded {
		if elem := links[t.OID].elem; elem != 0 {
			t.Elem = orUnknown(fresh, elem)
		}
		if base := links[t.OID].base; base != 0 {
			t.Base = orUnknown(fresh, base)
		}
	}
	for _, oid := range missing {
		orUnknown(fresh, oid)
	}
	for oid, t := range fresh {
		c.types[oid] = t
	}
	return nil
}

// orUnknown is the type of that number, made up when it is not there.
func orUnknown(types map[uint32]*cdc.Type, oid uint32) *cdc.Type {
	t := types[oid]
	if t == nil {
		t = &cdc.Type{OID: oid, Schema: "pg_catalog", Name: "unknown", Kind: cdc.KindPseudo, BaseModifier: -1}
		types[oid] = t
	}
	return t
}
