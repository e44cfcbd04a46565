package compare

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func database(t *testing.T, sql string) string {
	t.Helper()
	url := pgtest.NewDatabase(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	return url
}

const source = `
	CREATE TYPE color AS ENUM ('red', 'green');
	CREATE TABLE things (a integer, b text, c color, d jsonb, e char(5), f numeric(10,2), g bytea, h double precision, i varchar(4)[], PRIMARY KEY (a, b));
	INSERT INTO things SELECT n, 'k', 'red', '{"b": 1, "a": [1, 2]}', 'x', 1.10, '\x00ff', 'NaN', '{a,NULL,"b c"}' FROM generate_series(1, 5) n;
	CREATE TABLE empty (a integer PRIMARY KEY);`

const sink = `
	CREATE TABLE things (b text, a integer, c text, d json, e text, f numeric, g bytea, h double precision, i text[],
		dropped text DEFAULT 'x', _tailrace_gen bigint, PRIMARY KEY (a, b));
	INSERT INTO things SELECT 'k', n, 'red', '{"a":[1,2],"b":1}', 'x    ', 1.10, '\x00ff', 'NaN', '{a,NULL,"b c"}' FROM generate_series(1, 5) n;`

func compare(t *testing.T, sinkSQL string) Result {
	t.Helper()
	r, err := Tables(t.Context(), database(t, source), database(t, sinkSQL), []string{"things", "empty"}, 100)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEqualTablesAreEqualAcrossTypes(t *testing.T) {
	t.Parallel()
	r := compare(t, sink)
	if r.Differences != 0 || r.Rows != 5 || r.SinkRows != 5 || r.Tables != 2 {
		t.Errorf("got %+v, want no differences in 2 tables of 5 rows", r)
	}
}

func TestDifferencesAreNamed(t *testing.T) {
	t.Parallel()
	r := compare(t, sink+`
		UPDATE things SET d = '{"b": 2}', f = NULL WHERE a = 1;
		UPDATE things SET i = '{a,NULL,"b cd"}' WHERE a = 2;
		DELETE FROM things WHERE a = 3;
		INSERT INTO things VALUES ('new', 9);`)
	want := []string{
		`things 1,k d "{\"a\": [1, 2], \"b\": 1}" "{\"b\": 2}"`,
		`things 1,k f "1.10" NULL`,
		`things 2,k i "{a,NULL,\"b c\"}" "{a,NULL,\"b cd\"}"`,
		`things 3,k * present absent`,
		`things 9,new * absent present`,
	}
	var got []string
	for _, d := range r.Lines {
		got = append(got, d.String())
	}
	if !slices.Equal(got, want) || r.Differences != int64(len(want)) {
		t.Errorf("got %d differences\n%q\nwant\n%q", r.Differences, got, want)
	}
}

func TestMissingTablesColumnsAndBadValuesAreDifferences(t *testing.T) {
	t.Parallel()
	if r := compare(t, `SELECT 1`); r.Differences != 5 || len(r.Lines) != 1 {
		t.Errorf("no table: got %+v, want 5 differences on one line", r)
	}
	if r := compare(t, sink+`ALTER TABLE things DROP COLUMN f`); r.Differences != 5 || r.Lines[0].Column != "f" {
		t.Errorf("no column: got %+v, want 5 differences of column f", r)
	}
	r := compare(t, sink+`UPDATE things SET c = 'blue' WHERE a = 4`)
	if !slices.ContainsFunc(r.Lines, func(d Difference) bool { return d.Key == "4,k" && d.Column == "c" && d.Sink == `"blue"` }) {
		t.Errorf("a value that cannot be cast: got %+v, want it among the differences", r)
	}
}
