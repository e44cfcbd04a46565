package postgres_test

import "testing"

// TestRowsKeepTheFactsOfTheirTime stops the relay, writes rows and changes the
// table in between, and starts it again: each row is read with the columns, the
// key and the nullability that it was written under.
func TestRowsKeepTheFactsOfTheirTime(t *testing.T) {
	t.Parallel()
	const create = "CREATE TABLE t (a int DEFAULT 1, b text NOT NULL DEFAULT 'x', c int NOT NULL, PRIMARY KEY (c, a)); "
	const then = "a int4!=1*, b text!='x'::text, c int4!*, key (c a)"
	const row1, row2 = "INSERT INTO t VALUES (1, 'one', 1); ", "INSERT INTO t VALUES (2, 'two', 2); "
	tests := []struct {
		name, setup, sql string
		want             []string
	}{
		{"column renamed", create, row1 + "ALTER TABLE t RENAME b TO x; " + row2,
			[]string{"c t 1 one 1 | " + then, "c t 2 two 2 | a int4!=1*, x text!='x'::text, c int4!*, key (c a)"}},
		{"key column renamed", create, row1 + "ALTER TABLE t RENAME c TO x; " + row2,
			[]string{"c t 1 one 1 | " + then, "c t 2 two 2 | a int4!=1*, b text!='x'::text, x int4!*, key (x a)"}},
		{"column dropped", create, row1 + "ALTER TABLE t DROP b; INSERT INTO t VALUES (2, 2)",
			[]string{"c t 1 one 1 | " + then, "c t 2 2 | a int4!=1*, c int4!*, key (c a)"}},
		{"table dropped", create, row1 + "UPDATE t SET b = 'two'; DELETE FROM t; DROP TABLE t",
			[]string{"c t 1 one 1 | " + then, "u t 1 two 1 | " + then, "d t 1 NULL 1 | " + then}},
		{"table renamed", create, row1 + "ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (2, 'two', 2)",
			[]string{"c t 1 one 1 | " + then, "c u 2 two 2 | " + then}},
		{"primary key moved", create, row1 + "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (b); " + row2,
			[]string{"c t 1 one 1 | " + then, "c t 2 two 2 | a int4!=1, b text!='x'::text*, c int4!, key (b)"}},
		{"primary key moved under FULL", create + "ALTER TABLE t REPLICA IDENTITY FULL", row1 + "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (b); " + row2,
			[]string{"c t 1 one 1 | a int4!=1*, b text!='x'::text*, c int4!*, key (c a)", "c t 2 two 2 | a int4!=1*, b text!='x'::text*, c int4!*, key (b)"}},
		{"primary key dropped under FULL", create + "ALTER TABLE t REPLICA IDENTITY FULL", row1 + "ALTER TABLE t DROP CONSTRAINT t_pkey",
			[]string{"c t 1 one 1 | a int4!=1*, b text!='x'::text*, c int4!*, key (c a)"}},
		{"key column renamed under FULL", create + "ALTER TABLE t REPLICA IDENTITY FULL", row1 + "ALTER TABLE t RENAME c TO x",
			[]string{"c t 1 one 1 | a int4!=1*, b text!='x'::text*, c int4!*, key (c a)"}},
		{"default set", create, row1 + "ALTER TABLE t ALTER b SET DEFAULT 'y'; " + row2,
			[]string{"c t 1 one 1 | " + then, "c t 2 two 2 | a int4!=1*, b text!='y'::text, c int4!*, key (c a)"}},
		{"default set before the first row", create, "ALTER TABLE t ALTER b SET DEFAULT 'y'; " + row2,
			[]string{"c t 2 two 2 | a int4!=1*, b text!='y'::text, c int4!*, key (c a)"}},
		{"default dropped", create, row1 + "ALTER TABLE t ALTER b DROP DEFAULT; " + row2,
			[]string{"c t 1 one 1 | " + then, "c t 2 two 2 | a int4!=1*, b text!, c int4!*, key (c a)"}},
		{"NOT NULL dropped", create, row1 + "ALTER TABLE t ALTER b DROP NOT NULL; " + row2,
			[]string{"c t 1 one 1 | " + then, "c t 2 two 2 | a int4!=1*, b text='x'::text, c int4!*, key (c a)"}},
		{"NOT NULL set", "CREATE TABLE t (a int PRIMARY KEY, b text); ", "INSERT INTO t VALUES (1, 'one'); ALTER TABLE t ALTER b SET NOT NULL; INSERT INTO t VALUES (2, 'two')",
			[]string{"c t 1 one | a int4!*, b text, key (a)", "c t 2 two | a int4!*, b text!, key (a)"}},
		{"NOT NULL set before the first row", "CREATE TABLE t (a int PRIMARY KEY, b text); ", "ALTER TABLE t ALTER b SET NOT NULL; INSERT INTO t VALUES (2, 'two')",
			[]string{"c t 2 two | a int4!*, b text!, key (a)"}},
		{"column added with a default", create, row1 + "ALTER TABLE t ADD d int NOT NULL DEFAULT 7; INSERT INTO t VALUES (2, 'two', 2)",
			[]string{"c t 1 one 1 | " + then, "c t 2 two 2 7 | a int4!=1*, b text!='x'::text, c int4!*, d int4!=7, key (c a)"}},
		{"column added whose default is not known for certain", create, row1 + "ALTER TABLE t ADD d int NOT NULL DEFAULT 7; " + row2 + "ALTER TABLE t ADD e int",
			[]string{"c t 1 one 1 | " + then, "c t 2 two 2 7 | a int4!*, b text, c int4!*, d int4, key (c a) without facts"}},
		{"identity made FULL, then another column", create, row1 + "ALTER TABLE t REPLICA IDENTITY FULL; " + row2 + "ALTER TABLE t ADD e int",
			[]string{"c t 1 one 1 | " + then, "c t 2 two 2 | a int4!*, b text*, c int4!*, key (c a) without facts"}},
		{"RELATION again, then renamed", create, row1 + "ANALYZE t; " + row2 + "ALTER TABLE t RENAME b TO x",
			[]string{"c t 1 one 1 | " + then, "c t 2 two 2 | " + then}},
		{"index identity, then the table is dropped", "CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL UNIQUE); ALTER TABLE t REPLICA IDENTITY USING INDEX t_a_key; ",
			"INSERT INTO t VALUES (1, 2); DROP TABLE t", []string{"c t 1 2 | id int4!, a int4!*, key (id)"}},
		{"unique index as key, then a primary key", "CREATE TABLE t (a int NOT NULL, b int NOT NULL UNIQUE); ",
			"INSERT INTO t VALUES (1, 2); ALTER TABLE t ADD PRIMARY KEY (a); INSERT INTO t VALUES (2, 3)",
			[]string{"c t 1 2 | a int4!, b int4!, key (b)", "c t 2 3 | a int4!*, b int4!, key (a)"}},
		{"domain and type dropped", "CREATE DOMAIN d AS numeric(8,2); CREATE TYPE e AS ENUM ('x'); CREATE TABLE t (a int PRIMARY KEY, b d, c e); ",
			"INSERT INTO t VALUES (1, 2, 'x'); ALTER TABLE t ADD x int; INSERT INTO t VALUES (2, 2, 'x'); DROP TABLE t; DROP TYPE e; DROP DOMAIN d",
			[]string{"c t 1 2.00 x | a int4!*, b d, c e, key (a)", "c t 2 2.00 x NULL | a int4!*, b d, c e, x int4, key (a) without facts"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLive(t, test.setup)
			l.stop(false)
			l.exec(test.sql)
			l.start()
			l.want(test.want...)
		})
	}
}
