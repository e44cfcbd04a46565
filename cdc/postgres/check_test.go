package postgres_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	embedded "github.com/tailrace/tailrace/internal/embedded/postgres"
)

// TestKeysOutsideTheReplicaIdentityAreAFinding: deletes do not tell them.
func TestKeysOutsideTheReplicaIdentityAreAFinding(t *testing.T) {
	t.Parallel()
	const create = "CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL UNIQUE, b int); "
	tests := []struct {
		name, setup string
		key         []string
		finding     string // level and name; "" for none
		says        []string
	}{
		{"the primary key", create, nil, "", nil},
		{"a configured key", create, []string{"a", "id"}, "warning key_identity", []string{`"public"."t"`, "(a)", "dead letters", "REPLICA IDENTITY FULL"}},
		{"a configured key under FULL", create + "ALTER TABLE t REPLICA IDENTITY FULL", []string{"a", "b"}, "", nil},
		{"a part of the primary key", "CREATE TABLE t (id int, a int, PRIMARY KEY (id, a))", []string{"a"}, "", nil},
		{"USING INDEX beside the primary key", create + "ALTER TABLE t REPLICA IDENTITY USING INDEX t_a_key", nil, "warning key_identity", []string{"(id)"}},
		{"USING INDEX and its columns as key", create + "ALTER TABLE t REPLICA IDENTITY USING INDEX t_a_key", []string{"a"}, "", nil},
		{"only a unique index", "CREATE TABLE t (a int NOT NULL UNIQUE)", nil, "warning replica_identity", []string{"no primary key", "USING INDEX"}},
		{"no key", "CREATE TABLE t (a int)", nil, "warning table_key", []string{"no key"}},
		{"NOTHING", create + "ALTER TABLE t REPLICA IDENTITY NOTHING", nil, "error replica_identity", []string{"refuses UPDATE and DELETE"}},
		{"NOTHING, and published already", create + "ALTER TABLE t REPLICA IDENTITY NOTHING; CREATE PUBLICATION own FOR ALL TABLES", nil, "warning replica_identity", []string{"refuses UPDATE and DELETE"}},
		{"inserts only", create + "; CREATE PUBLICATION own FOR TABLE t WITH (publish = 'insert')", []string{"a"}, "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := prepareLive(t, pgtest.NewDatabase(t), test.setup, own, func(c *postgres.Config) {
				c.Rules = func(*cdc.Table) cdc.Rules { return cdc.Rules{Key: test.key} }
			})
			if test.finding != "" {
				wantFinding(t, l.config, test.finding, test.says...)
				return
			}
			for _, name := range []string{"key_identity", "replica_identity", "table_key"} {
				wantNone(t, l.config, name)
			}
		})
	}
}

// TestCheckFindsTheTablesAsTheyArePublished: partitions, or their root.
func TestCheckFindsTheTablesAsTheyArePublished(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		options []func(*postgres.Config)
		want    string
	}{{[]func(*postgres.Config){own}, "public.p1 public.p2"}, {[]func(*postgres.Config){viaRoot}, "public.p"}} {
		l := prepareLive(t, pgtest.NewDatabase(t), partitioned, test.options...)
		_, tables := postgres.Check(t.Context(), l.config, postgres.CheckOptions{CreateSlot: true, Snapshot: true})
		got := ""
		for _, t := range tables {
			got += " " + t.String()
		}
		if got != " "+test.want {
			t.Errorf("got%s, want %s", got, test.want)
		}
	}
}

// TestCheckMissesTheSlotThatIsToBeTakenOver: the relay makes none in its place.
func TestCheckMissesTheSlotThatIsToBeTakenOver(t *testing.T) {
	t.Parallel()
	l := prepareLive(t, pgtest.NewDatabase(t), "CREATE TABLE t (id int PRIMARY KEY)", adopting("live"))
	wantFinding(t, l.config, "error slot", "does not exist", "slot.name")
}

// TestCheckCountsTheSlotsThatATrailingSlotLeaves: without room the relay runs, and
// nothing can be replayed.
func TestCheckCountsTheSlotsThatATrailingSlotLeaves(t *testing.T) {
	t.Parallel()
	for most, want := range map[string]bool{"4": true, "5": false} {
		t.Run(most+" slots", func(t *testing.T) {
			t.Parallel()
			server, err := embedded.Start(t.Context(), embedded.Config{Version: os.Getenv(pgtest.EnvVersion), Databases: []string{"shop"}, Settings: map[string]string{"max_replication_slots": most}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := server.Stop(); err != nil {
					t.Error(err)
				}
			})
			findings, _ := postgres.Check(t.Context(), postgres.Config{URL: server.URL("shop"), Slot: "s", Publication: "s"}, postgres.CheckOptions{CreateSlot: true, Trailing: "s_trailing"})
			found := slices.ContainsFunc(findings, func(f cdc.Finding) bool {
				return f.Name == "trailing_slot" && f.Level == cdc.LevelWarning && strings.Contains(f.Remedy, "max_replication_slots = 5")
			})
			if found != want {
				t.Errorf("found: %t, want %t: %v", found, want, findings)
			}
		})
	}
}
