package pgoutput_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
)

var update = flag.Bool("update", false, "write what the server sends to testdata, for the version in "+pgtest.EnvVersion)

func TestMain(m *testing.M) {
	flag.Parse()
	pgtest.Main(m)
}

// TestServerMessages runs the workload of testdata/server.sql and decodes what
// the server makes of it in its oldest and its newest protocol.
func TestServerMessages(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, pgtest.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	script, err := os.ReadFile("testdata/server.sql")
	if err != nil {
		t.Fatal(err)
	}
	server := pgtest.Shared(t)
	// Since PostgreSQL 15 pgoutput decodes PREPARE, since 16 it streams for parallel apply.
	protocol, options, twoPhase := 2, ", 'streaming', 'on'", "false"
	switch {
	case server.Major() >= 16:
		protocol, options, twoPhase = 4, ", 'streaming', 'parallel', 'two_phase', 'on'", "true"
	case server.Major() == 15:
		protocol, options, twoPhase = 3, ", 'streaming', 'on', 'two_phase', 'on'", "true"
	}
	for statement := range strings.SplitSeq(string(script), ";\n") {
		statement = strings.ReplaceAll(statement, "$two_phase", twoPhase)
		if _, err := conn.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if _, err := conn.Exec(ctx, "SET logical_decoding_work_mem = '64kB'"); err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct {
		protocol int
		options  string
	}{{1, ""}, {protocol, options}} {
		rows, _ := conn.Query(ctx, fmt.Sprintf(`SELECT data FROM pg_logical_slot_peek_binary_changes('cap', NULL, NULL,
			'proto_version', '%d', 'publication_names', 'cap', 'messages', 'true'%s)`, p.protocol, p.options))
		messages, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("protocol %d: %v", p.protocol, decodeAll(t, messages))
		if *update {
			capture(t, server.Version(), p.protocol, messages)
		}
	}
	// Origins belong to the whole server.
	if _, err := conn.Exec(ctx, "SELECT pg_replication_origin_drop('elsewhere')"); err != nil {
		t.Error(err)
	}
}

// capture writes messages for the tests that need no server. A run of wide
// inserts, all alike, is cut to its first and last one.
func capture(t *testing.T, version string, protocol int, messages [][]byte) {
	t.Helper()
	wide := func(i int) bool {
		return i >= 0 && i < len(messages) && messages[i][0] == 'I' && len(messages[i]) > 1000
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# What PostgreSQL %s sends in protocol %d for server.sql. Written by go test -run TestServerMessages -update.\n", version, protocol)
	for i, m := range messages {
		if !wide(i-1) || !wide(i) || !wide(i+1) {
			fmt.Fprintln(&b, hex.EncodeToString(m))
		}
	}
	major, _, _ := strings.Cut(version, ".")
	if err := os.WriteFile(fmt.Sprintf("testdata/server-%s-protocol-%d.hex", major, protocol), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
