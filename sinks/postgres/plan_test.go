package postgres

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/sinktest"
)

// The tables that the guards look into have grown since they were analyzed, or were
// never: the server must not compare every row of a batch with every tombstone.
func TestGuardsAreFoundByKeyWhateverTheServerExpects(t *testing.T) {
	t.Parallel()
	const rows = 1000
	shape := &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{{Name: "id", Type: sinks.Int32}, {Name: "name", Type: sinks.Text}}}
	compared := regexp.MustCompile(`Rows Removed by Join Filter: (\d+)`)
	for mode, setup := range map[SchemaMode]string{SchemaAdd: "", SchemaNone: "CREATE TABLE items (id integer PRIMARY KEY, name text)"} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, mode, setup)
			exec(t, f.url, `ALTER TABLE tailrace.tombstones SET (autovacuum_enabled = off); ALTER TABLE tailrace.versions SET (autovacuum_enabled = off)`)
			n := 0
			batch := func(op cdc.Op, from int, name string) (out []*sinks.Change) {
				for i := range rows {
					n++
					out = append(out, change(n, op, sinktest.Origin, shape, strconv.Itoa(from+i), name))
				}
				return out
			}
			f.mustWrite(batch(cdc.OpCreate, 0, "a")...)
			f.mustWrite(batch(cdc.OpCreate, rows, "a")...)
			f.mustWrite(batch(cdc.OpDelete, 0, "\x01")...)
			conn := connect(t, f.url)
			defer conn.Close(context.Background())
			for what, changes := range map[string][]*sinks.Change{
				"new":     batch(cdc.OpCreate, 2*rows, "a"),
				"back":    batch(cdc.OpUpdate, 0, "b"),
				"updates": batch(cdc.OpUpdate, rows, "b"),
				"patches": batch(cdc.OpUpdate, rows, "\x01"),
				"deletes": batch(cdc.OpDelete, rows, "\x01"),
			} {
				if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
					t.Fatal(err)
				}
				folded := fold(changes, f.sink.template.target)
				for _, g := range groups(folded.ops, func(op *operation) *table { tab, _ := f.sink.tables.get(op.target, op.shape); return tab }, (&transaction{sink: f.sink}).hopeful()) {
					q := g.statement(scope{state: f.sink.state, pipeline: "p", generation: 1, expires: "2100-01-01"})
					plan := conn.PgConn().ExecParams(t.Context(), "EXPLAIN (ANALYZE, TIMING OFF) "+q.sql, q.values, q.oids, q.formats, nil).Read()
					if plan.Err != nil {
						t.Fatalf("%s: %v", what, plan.Err)
					}
					var text strings.Builder
					for _, line := range plan.Rows {
						text.Write(line[0])
						text.WriteByte('\n')
					}
					for _, m := range compared.FindAllStringSubmatch(text.String(), -1) {
						if removed, _ := strconv.Atoi(m[1]); removed > 2*rows {
							t.Errorf("%s: %d pairs of rows were compared in vain:\n%s", what, removed, text.String())
						}
					}
				}
				if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
