package test

import (
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheGrantsAreEnoughAndNoMore: every test of this package runs under what relay
// check --grants prints. Here is what that leaves out, and that it can be asked for
// again.
func TestTheGrantsAreEnoughAndNoMore(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE SCHEMA "Sales"`, `CREATE TABLE "Sales".t (id int PRIMARY KEY)`, `INSERT INTO "Sales".t VALUES (1)`,
		`CREATE TABLE secret (id int PRIMARY KEY)`, `ALTER TABLE secret ENABLE ROW LEVEL SECURITY`, `INSERT INTO secret VALUES (1)`,
		`CREATE TABLE other (id int PRIMARY KEY)`,
		`DO $$ DECLARE f regprocedure; BEGIN
			FOR f IN SELECT oid FROM pg_proc WHERE proname = 'pg_logical_emit_message' LOOP
				EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
			END LOOP; END $$`)
	const tables = "tables: {exclude: [public.other]}\n"
	file, ops := s.relayConfig(tables)
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	s.sql(`INSERT INTO "Sales".t VALUES (2)`)
	s.read(s.name+".Sales.t", s.name+".public.secret").count(3)
	for what, question := range map[string]string{
		"is a superuser, or makes roles or databases": `(SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = $1)`,
		"may write":                   `has_table_privilege($1, '"Sales".t', 'INSERT, UPDATE, DELETE, TRUNCATE')`,
		"may read other tables":       `has_table_privilege($1, 'other', 'SELECT')`,
		"owns a publication":          `EXISTS (SELECT FROM pg_publication WHERE pg_has_role($1, pubowner, 'usage'))`,
		"may make schemas":            `has_database_privilege($1, current_database(), 'CREATE')`,
		"is a member of another role": `EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = $1)`,
		"may make tables":             `has_schema_privilege($1, 'Sales', 'CREATE')`,
	} {
		if s.value(`SELECT `+question+`::text`, s.role()) != "false" {
			t.Errorf("the role %s", what)
		}
	}
	again := exec.Command(filepath.Join(bin, "relay"), "check", "--grants", "--role", s.role(), "-c", s.write("dba.yaml", s.database, "", tables))
	out, err := again.Output()
	if err != nil || !strings.Contains(string(out), "has everything") || strings.Contains(string(out), ";\n") {
		t.Errorf("asked again: %v\n%s", err, out)
	}
}

// TestATableThatMayNotBeReadStopsWithTheGrant: somebody has added it to the
// publication and not granted it.
func TestATableThatMayNotBeReadStopsWithTheGrant(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.sql(`CREATE TABLE t (id int PRIMARY KEY)`)
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	s.sql(`CREATE TABLE late (id int PRIMARY KEY)`, `INSERT INTO late VALUES (1)`, `ALTER PUBLICATION tailrace_`+s.name+` ADD TABLE late`)
	grant := `GRANT SELECT ON "public"."late" TO "` + s.role() + `"`
	if r := p.awaitState("stopped"); !strings.Contains(r.Reason, grant) {
		t.Fatalf("readyz: %q lacks %s", r.Reason, grant)
	}
	s.sql(grant)
	if q := start(t, "", "relay", "resume", "-c", file); q.exit() != 0 {
		t.Fatalf("resume: %s", q.log)
	}
	p.awaitState("streaming")
	s.read(s.name + ".public.late").count(1)
}

// TestAnOwnerMakesItsPublication: a role that owns the tables needs no DBA for them,
// and takes in what it makes later by itself.
func TestAnOwnerMakesItsPublication(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	role := s.name + "_owner"
	s.sql(`CREATE ROLE `+role+` LOGIN REPLICATION PASSWORD 'x'`, `CREATE SCHEMA app AUTHORIZATION `+role,
		`SELECT set_config('search_path', 'app', false)`, `CREATE TABLE app.t (id int PRIMARY KEY)`, `ALTER TABLE app.t OWNER TO `+role,
		`INSERT INTO app.t VALUES (1)`)
	s.sql(`DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO ` + role + `', current_database()); END $$`)
	login, err := url.Parse(s.database)
	if err != nil {
		t.Fatal(err)
	}
	login.User = url.UserPassword(role, "x")
	s.login = login.String()
	file, ops := s.relayConfig("")
	p := start(t, ops, "relay", "run", "-c", file)
	p.awaitState("streaming")
	s.sql(`CREATE TABLE app.late (id int PRIMARY KEY)`, `ALTER TABLE app.late OWNER TO `+role, `INSERT INTO app.late VALUES (1), (2)`)
	got := s.read(s.name+".app.t", s.name+".app.late").count(3)
	for _, r := range got {
		if r.op() != "r" {
			t.Errorf("%s of %s, want a row of a snapshot", r.op(), fmt.Sprint(r.key))
		}
	}
}
