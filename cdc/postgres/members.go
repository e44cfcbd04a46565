package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// Members lists the entries of the publication's list that cover each table which
// the patterns select: its own and those of the partitioned tables above it.
func (d *Database) Members(ctx context.Context) (map[string]cdc.Member, error) {
	if _, err := d.sql(ctx); err != nil {
		return nil, err
	}
	members, err := d.catalog.members(ctx, &d.config)
	if err != nil {
		return nil, err
	}
	d.took(func(t *taken) { t.members = members })
	return members, nil
}

func (c *Catalog) members(ctx context.Context, config *Config) (map[string]cdc.Member, error) {
	all, err := c.candidates(ctx, config.Publication)
	if err != nil {
		return nil, err
	}
	selected, err := newSelection(config.Include, config.Exclude)
	if err != nil {
		return nil, err
	}
	rows, _ := c.conn.Query(ctx, `SELECT r.prrelid, r.oid FROM pg_catalog.pg_publication_rel r
		JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $1 ORDER BY r.oid`, config.Publication)
	entries := map[uint32]uint32{}
	var table, entry uint32
	if _, err := pgx.ForEachRow(rows, []any{&table, &entry}, func() error {
		entries[table] = entry
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the list of publication %q: %w", config.Publication, err)
	}
	out := make(map[string]cdc.Member, len(all))
	for _, t := range all {
		if !selected.selects(t.names) {
			continue
		}
		m := cdc.Member{OID: t.OID}
		for _, oid := range append([]uint32{t.OID}, t.above...) {
			if entries[oid] != 0 {
				m.Entries = append(m.Entries, entries[oid])
			}
		}
		slices.Sort(m.Entries)
		out[t.Schema+"."+t.Name] = m
	}
	return out, nil
}

// reentered lists tables whose entry in the publication's list is another than the
// session knows: they were out of it for a time.
func (t *taken) reentered(now map[string]cdc.Member) []string {
	var names []string
	for name, was := range t.members {
		m, there := now[name]
		if there && m.OID == was.OID && len(was.Entries) > 0 &&
			!slices.ContainsFunc(was.Entries, func(entry uint32) bool { return slices.Contains(m.Entries, entry) }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
