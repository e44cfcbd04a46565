package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// itemsSQL is the table of most works: a key and four columns, a text of 80 bytes
// among them.
const itemsSQL = `CREATE TABLE items (id bigint PRIMARY KEY, account bigint NOT NULL, amount int NOT NULL, note text NOT NULL, at timestamptz NOT NULL);`

// itemSQL is the values of a row of items.
const itemSQL = `%[1]s, %[1]s * 7919 %% 100003, (%[1]s %% 1000)::int, left(md5(%[1]s::text) || md5((%[1]s + 0.5)::text) || md5((-%[1]s)::text), 80), clock_timestamp()`

// items is the values of the row with an id, which is an expression.
func items(id string) string { return fmt.Sprintf(itemSQL, id) }

// insertsSQL makes a procedure that inserts rows one by one, in transactions of so
// many. The variable of a FOR is an int, whatever its bounds are.
func insertsSQL() string {
	return `CREATE PROCEDURE load(first bigint, last bigint, size bigint) LANGUAGE plpgsql AS $$ BEGIN
		FOR i IN first..last LOOP
			INSERT INTO items VALUES (` + items("i::bigint") + `);
			IF i % size = 0 THEN COMMIT; END IF;
		END LOOP;
		COMMIT;
	END $$;`
}

// inserts is single-row inserts in transactions of so many. A load of more than
// one transaction has a mark at its half; the last mark is the caller's to set.
func inserts(ctx context.Context, r *rig, rows, size int) (*stage, error) {
	s, err := newStage(ctx, r, itemsSQL+insertsSQL(), "items")
	if err != nil {
		return nil, err
	}
	calls := []string{fmt.Sprintf("CALL load(1, %d, %d)", rows, size)}
	if size < rows/2 {
		calls = []string{fmt.Sprintf("CALL load(1, %d, %d)", rows/2, size), "INSERT INTO half VALUES (1)", fmt.Sprintf("CALL load(%d, %d, %d)", rows/2+1, rows, size)}
	}
	s.rows, s.inserts, s.count = int64(rows), int64(rows), int64(rows)
	return s, s.exec(ctx, calls...)
}

// table is one that a changing load writes to.
type table struct{ name, insert, update string } // statements; x is the row's id

// wide are 20 tables of 12 columns.
func wide() (sql string, tables []table) {
	var b strings.Builder
	for i := range 20 {
		name := fmt.Sprintf("t%02d", i)
		fmt.Fprintf(&b, `CREATE TABLE %s (id bigint PRIMARY KEY, a int NOT NULL, b bigint, c smallint NOT NULL, d text NOT NULL, e varchar(40),
			f boolean NOT NULL, g numeric(12,2), h timestamptz NOT NULL, i date, j double precision NOT NULL, k text);`, name)
		tables = append(tables, table{name,
			`INSERT INTO ` + name + ` VALUES (x, (x % 1000)::int, x * 7919, (x % 100)::smallint, md5(x::text), left(md5((-x)::text), 20), x % 2 = 0, (x % 100000) / 100.0,
				clock_timestamp(), date '2020-01-01' + (x % 3000)::int, x / 7.0, CASE WHEN x % 3 = 0 THEN NULL ELSE 'note ' || x END)`,
			`UPDATE ` + name + ` SET a = a + 1, d = md5(d), g = g + 1, h = clock_timestamp() WHERE id = x`})
	}
	return b.String(), tables
}

// narrow is the table items, changed as wide's are.
func narrow() (sql string, tables []table) {
	return itemsSQL, []table{{"items", "INSERT INTO items VALUES (" + items("x") + ")", "UPDATE items SET amount = amount + 1, note = left(md5(note) || note, 80), at = clock_timestamp() WHERE id = x"}}
}

// changesSQL makes a procedure that does so many row changes: 60 % inserts, 30 %
// updates of any row that is there, 10 % deletes of the oldest; in transactions of
// 1 to 500, over all tables, always the same.
func changesSQL(tables []table) string {
	branch := func(statement func(table) string) string {
		var b strings.Builder
		b.WriteString("CASE t")
		for i, t := range tables {
			fmt.Fprintf(&b, " WHEN %d THEN %s;", i+1, statement(t))
		}
		return b.String() + " END CASE;"
	}
	return fmt.Sprintf(`CREATE PROCEDURE load(rows bigint, INOUT inserts bigint, INOUT deletes bigint) LANGUAGE plpgsql AS $$
		DECLARE
			low bigint[] := array_fill(1::bigint, ARRAY[%[1]d]);
			high bigint[] := array_fill(1::bigint, ARRAY[%[1]d]);
			room int := 0; t int; x bigint; op float;
		BEGIN
			PERFORM setseed(0.5);
			FOR n IN 1..rows LOOP
				IF room = 0 THEN COMMIT; room := 1 + floor(random() * 500); END IF;
				IF n = rows / 2 THEN INSERT INTO half VALUES (1); END IF;
				room := room - 1; t := 1 + floor(random() * %[1]d); op := random();
				IF op < 0.6 OR high[t] - low[t] < 10 THEN
					x := high[t]; high[t] := x + 1; inserts := inserts + 1; %[2]s
				ELSIF op < 0.9 THEN
					x := low[t] + floor(random() * (high[t] - low[t])); %[3]s
				ELSE
					x := low[t]; low[t] := x + 1; deletes := deletes + 1; %[4]s
				END IF;
			END LOOP;
			COMMIT;
		END $$;`, len(tables), branch(func(t table) string { return t.insert }), branch(func(t table) string { return t.update }),
		branch(func(t table) string { return "DELETE FROM " + t.name + " WHERE id = x" }))
}

// changes is a load of inserts, updates and deletes; the last mark is the
// caller's to set.
func changes(ctx context.Context, r *rig, rows int, sql string, tables []table) (*stage, error) {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.name
	}
	s, err := newStage(ctx, r, sql+changesSQL(tables), names...)
	if err != nil {
		return nil, err
	}
	if err := s.conn.QueryRow(ctx, "CALL load($1, 0, 0)", pgx.QueryExecModeSimpleProtocol, rows).Scan(&s.inserts, &s.deletes); err != nil {
		return s, fmt.Errorf("load: %w", err)
	}
	s.rows, s.count = int64(rows), int64(rows)+s.deletes
	return s, nil
}
