package test

import (
	"context"
	"crypto/md5"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
)

// replayed is what somebody has in the end who applies a topic's records in the
// order of their positions: rows by key, or, of a table without one, how often
// each row is there. Columns that the WAL did not carry keep their value, also
// when the row moves to another key.
func replayed(t *testing.T, table killTable, got []record) []string {
	t.Helper()
	got = slices.Clone(got)
	slices.SortStableFunc(got, func(a, b record) int { return a.pos.Compare(b.pos) })
	rows := map[string][]string{}
	loose := map[string]int{}
	var removed []string // the row that the last delete ended
	for _, r := range got {
		if r.value == nil {
			continue
		}
		switch r.op() {
		case "t":
			clear(rows)
			clear(loose)
			continue
		case "r", "c", "u", "d":
		default:
			t.Fatalf("%s/%d@%d: op %q", r.topic, r.partition, r.offset, r.op())
		}
		before, after := table.row(r, "before"), table.row(r, "after")
		if table.key == nil {
			if before != nil {
				loose[strings.Join(before, "\x00")]--
			}
			if after != nil {
				loose[strings.Join(after, "\x00")]++
			}
			continue
		}
		var key []string
		for _, k := range table.key {
			key = append(key, fmt.Sprint(unwrap(r.key[k])))
		}
		id := strings.Join(key, "\x00")
		if r.op() == "d" {
			removed = rows[id]
			delete(rows, id)
			continue
		}
		base := rows[id]
		if r.pos.Part == cdc.PartCreate && removed != nil {
			// Where a snapshot was read again after the row had moved, it is there
			// under its new key only.
			base = removed
		}
		for _, name := range strings.Split(r.headers[cdc.HeaderUnavailable], ",") {
			if i := slices.Index(table.columns, strings.TrimPrefix(name, "after.")); i >= 0 && strings.HasPrefix(name, "after.") {
				// A table that was truncated before its snapshot was read is empty in
				// it (TRUNCATE is not MVCC-safe), and the stream begins before that.
				after[i] = "<unknown>"
				if base != nil {
					after[i] = base[i]
				}
			}
		}
		rows[id] = after
	}
	var out []string
	for _, row := range rows {
		out = append(out, strings.Join(row, "\x00"))
	}
	for row, n := range loose {
		for range n {
			out = append(out, row)
		}
		if n < 0 {
			t.Errorf("%s: row %q was removed %d times more than it was there", table.name, row, -n)
		}
	}
	sort.Strings(out)
	return out
}

// digest stands for a long value that nobody wants to keep.
type digest string

// row is one side of a record, as text; long values as their digest.
func (kt killTable) row(r record, side string) []string {
	row := r.row(side)
	if row == nil {
		return nil
	}
	out := make([]string, len(kt.columns))
	for i, c := range kt.columns {
		out[i] = "<null>"
		if row[c] != nil {
			out[i] = fmt.Sprint(row[c])
		}
		if _, short := row[c].(digest); c == "big" && row[c] != nil && !short {
			out[i] = fmt.Sprintf("%x", md5.Sum([]byte(out[i])))
		}
	}
	return out
}

// selected is the table as the source has it, in the form of replayed.
func (kt killTable) selected(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	var columns []string
	for _, c := range kt.columns {
		if c == "big" {
			c = "md5(big)"
		}
		columns = append(columns, "coalesce("+c+"::text, '<null>')")
	}
	rows, err := conn.Query(context.Background(), "SELECT ARRAY["+strings.Join(columns, ", ")+"] FROM "+kt.name)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(all))
	for i, row := range all {
		out[i] = strings.Join(row, "\x00")
	}
	sort.Strings(out)
	return out
}

// compare shows the first differences of two sorted lists.
func compare(t *testing.T, table string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	count := map[string]int{}
	for _, s := range want {
		count[s]++
	}
	for _, s := range got {
		count[s]--
	}
	shown := 0
	for s, n := range count {
		if n != 0 && shown < 5 {
			shown++
			t.Errorf("%s: row %q is %+d times in the source, beside its topic", table, strings.ReplaceAll(s, "\x00", " | "), n)
		}
	}
	t.Errorf("%s: %d rows in the fold of the topic, %d in the source", table, len(got), len(want))
}
