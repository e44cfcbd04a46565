package postgres

import (
	"context"
	"slices"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/pgoutput"
)

// moment is when rows were written that the catalog, which is read now, is asked
// about, and what was known of their table before.
type moment struct {
	prior *cdc.Table // the version in force before; nil: none is known
	tx    xid        // the transaction of the rows; 0: now
	// shown are columns that rows have shown to be nullable, whatever the catalog
	// says, until it has been told so by a transaction after since.
	shown map[string]bool
	since xid
	types bool // types are taken from the catalog and not from prior
}

// resolution is what rows are read with.
type resolution struct {
	table *cdc.Table
	// next is what the catalog has besides: facts that were changed after the rows
	// were written, or may have been. It holds from transaction changed on, if that
	// is known, and from the commit LSN end on in any case. The server announces
	// neither when the change came before the first row of a session. nil: none.
	next    *cdc.Table
	changed xid
	end     cdc.LSN

	announced bool // the stream has announced that next holds
	over      bool // RELATION came again since
}

// settled tells whether next holds for the rows of a transaction.
func (r *resolution) settled(tx *cdc.Transaction) bool {
	return r.changed != 0 && !r.changed.after(xid(tx.XID)) || tx.CommitLSN >= r.end
}

// Resolve is the table that rows behind rel are read with when nothing else is
// known of it. rel comes from the WAL and the catalog is read now, so the catalog
// can be ahead.
//
// Columns equal in name, type and modifier: the catalog's facts hold. Different,
// or the table is gone: rel alone counts, every column outside the key is
// nullable and none has a default.
func (c *Catalog) Resolve(ctx context.Context, rel *pgoutput.Relation) (*cdc.Table, error) {
	r, err := c.resolve(ctx, rel, moment{})
	return r.table, err
}

// resolve is Resolve with what was known before. A version that was seen keeps its
// facts while the catalog is ahead of it. Where the catalog agrees on the columns,
// each of its facts counts for rows that are written by a later transaction.
func (c *Catalog) resolve(ctx context.Context, rel *pgoutput.Relation, m moment) (resolution, error) {
	f, err := c.facts(ctx, rel.OID)
	if err != nil {
		return resolution{}, err
	}
	oids := make([]uint32, len(rel.Columns))
	for i, col := range rel.Columns {
		oids[i] = col.TypeOID
	}
	if err := c.loadTypes(ctx, oids); err != nil {
		return resolution{}, err
	}
	if !f.agrees(rel) {
		if describes(m.prior, rel) {
			return resolution{table: c.seen(rel, m)}, nil
		}
		return resolution{table: c.alone(f, rel, m)}, nil
	}
	then, traceless := c.agreed(f, rel, m)
	m.tx = 0
	now, _ := c.agreed(f, rel, m)
	if sameFacts(then, now) {
		return resolution{table: then}, nil
	}
	r := resolution{table: then, next: now, end: f.end}
	if !traceless {
		r.changed = f.changed()
	}
	return r, nil
}

// seen is the version that was in force before, under the name that rel gives it.
func (c *Catalog) seen(rel *pgoutput.Relation, m moment) *cdc.Table {
	if m.prior.Schema == rel.Schema && m.prior.Name == rel.Name && !m.types {
		return m.prior
	}
	return c.withTypes(m.prior, rel, &m)
}

// withTypes is t with the types of a moment.
func (c *Catalog) withTypes(t *cdc.Table, rel *pgoutput.Relation, m *moment) *cdc.Table {
	out := *t
	out.Schema, out.Name, out.Columns = rel.Schema, rel.Name, slices.Clone(t.Columns)
	for i := range out.Columns {
		if typ := c.typeOf(&rel.Columns[i], m); typ != nil {
			out.Columns[i].Type = typ
		}
	}
	return &out
}

// alone is what rel says by itself.
func (c *Catalog) alone(f *facts, rel *pgoutput.Relation, m moment) *cdc.Table {
	t := &cdc.Table{OID: rel.OID, Schema: rel.Schema, Name: rel.Name, Identity: rel.Identity, Columns: make([]cdc.Column, len(rel.Columns))}
	k := f.resolveKey(rel, &m)
	t.Key = k.columns
	for i, col := range rel.Columns {
		known := columnOf(m.prior, &col)
		t.Columns[i] = cdc.Column{
			Name: col.Name, Type: c.typeOf(&col, &m), Modifier: col.Modifier, Replicated: col.Replicated,
			NotNull: t.IsKey(i) && (k.primary || identifies(rel, &col) || known != nil && known.NotNull),
		}
	}
	return t
}

// agreed has the catalog's facts, where they held at the moment. traceless says
// that the key has changed and nothing tells when.
func (c *Catalog) agreed(f *facts, rel *pgoutput.Relation, m moment) (t *cdc.Table, traceless bool) {
	t = &cdc.Table{OID: rel.OID, Schema: rel.Schema, Name: rel.Name, Identity: rel.Identity, Facts: true, Columns: make([]cdc.Column, len(rel.Columns))}
	k := f.resolveKey(rel, &m)
	t.Key = k.columns
	published := f.published()
	for i, col := range rel.Columns {
		out := cdc.Column{
			Name: col.Name, Type: c.typeOf(&col, &m), Modifier: col.Modifier, Replicated: col.Replicated,
			NotNull: published[i].notNull, Default: published[i].expression,
		}
		if known := columnOf(m.prior, &col); known != nil && m.prior.Facts {
			if m.tx != 0 && published[i].changed.after(m.tx) {
				out.NotNull, out.Default = known.NotNull, known.Default
			}
		}
		if m.shown[col.Name] && !published[i].changed.after(m.since) {
			out.NotNull = false
		}
		out.NotNull = out.NotNull || t.IsKey(i) && (k.primary || identifies(rel, &col))
		t.Columns[i] = out
	}
	return t, k.traceless
}

// identifies tells whether a column is part of an index that is the replica
// identity: the primary key's or another, it allows no NULL (PostgreSQL
// documentation, ALTER TABLE, REPLICA IDENTITY).
func identifies(rel *pgoutput.Relation, col *pgoutput.RelationColumn) bool {
	return col.Replicated && rel.Identity != cdc.IdentityFull
}

// typeOf is a column's type as the version before had it, with what its rows have
// shown, else as the catalog has it. A type that is gone is still known to that
// version, by whichever column.
func (c *Catalog) typeOf(col *pgoutput.RelationColumn, m *moment) *cdc.Type {
	t := c.types[col.TypeOID]
	if m.prior == nil || m.types && t.Kind != cdc.KindPseudo {
		return t
	}
	sameType := func(c *cdc.Column) bool { return c.Type.OID == col.TypeOID && c.Type.Kind != cdc.KindPseudo }
	if known := find(m.prior.Columns, func(c *cdc.Column) bool { return sameType(c) && c.Name == col.Name }); known != nil {
		return known.Type
	}
	if t.Kind == cdc.KindPseudo {
		if known := find(m.prior.Columns, sameType); known != nil {
			return known.Type
		}
	}
	return t
}

// describes tells whether t is the version that rel speaks of: the same columns
// in name, type, modifier and part in the replica identity.
func describes(t *cdc.Table, rel *pgoutput.Relation) bool {
	if t == nil || t.Identity != rel.Identity || len(t.Columns) != len(rel.Columns) {
		return false
	}
	for i := range rel.Columns {
		if c, col := &t.Columns[i], &rel.Columns[i]; !isColumn(c, col) || c.Replicated != col.Replicated {
			return false
		}
	}
	return true
}

func isColumn(c *cdc.Column, col *pgoutput.RelationColumn) bool {
	return c.Name == col.Name && c.Type.OID == col.TypeOID && c.Modifier == col.Modifier
}

// columnOf finds col in a version; nil when that one has none like it.
func columnOf(t *cdc.Table, col *pgoutput.RelationColumn) *cdc.Column {
	if t == nil {
		return nil
	}
	return find(t.Columns, func(c *cdc.Column) bool { return isColumn(c, col) })
}

// sameFacts compares two versions of the same columns.
func sameFacts(a, b *cdc.Table) bool {
	if a.Facts != b.Facts || a.Schema != b.Schema || a.Name != b.Name || !slices.Equal(a.Key, b.Key) {
		return false
	}
	for i := range a.Columns {
		if x, y := &a.Columns[i], &b.Columns[i]; x.NotNull != y.NotNull || x.Default != y.Default {
			return false
		}
	}
	return true
}
