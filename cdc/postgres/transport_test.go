//go:build unix

package postgres_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	server "github.com/tailrace/tailrace/internal/embedded/postgres"
)

// transports starts a server that listens on TCP, with TLS, and on a Unix socket, and
// returns its URLs for database shop by the name of the way.
func transports(t testing.TB) map[string]string {
	t.Helper()
	sockets, err := os.MkdirTemp("", "tailrace")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	if err := os.Chmod(sockets, 0o777); err != nil { // the server may run as another user
		t.Fatal(err)
	}
	s, err := server.Start(context.Background(), server.Config{Version: os.Getenv(pgtest.EnvVersion), Logf: t.Logf, Databases: []string{"shop"},
		Settings: map[string]string{"unix_socket_directories": sockets}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	conn, err := pgx.Connect(t.Context(), s.URL("shop"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var data string
	if err := conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&data); err != nil {
		t.Fatal(err)
	}
	certify(t, data)
	for _, sql := range []string{"ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	tls := s.URL("shop") + "?sslmode=require"
	for begun := time.Now(); ; {
		c, err := pgx.Connect(t.Context(), tls)
		if err == nil {
			_ = c.Close(t.Context())
			break
		}
		if time.Since(begun) > 20*time.Second {
			t.Fatal(err)
		}
	}
	return map[string]string{
		"tcp": s.URL("shop") + "?sslmode=disable", "tls": tls,
		"unix": fmt.Sprintf("postgres://%s:%s@/shop?host=%s&port=%d", server.User, server.Password, url.QueryEscape(sockets), s.Port()),
	}
}

// certify gives a server a certificate of its own.
func certify(t testing.TB, data string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"server.crt": {Type: "CERTIFICATE", Bytes: cert}, "server.key": {Type: "PRIVATE KEY", Bytes: secret}} {
		file := filepath.Join(data, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if stat, ok := owner.Sys().(*syscall.Stat_t); ok {
			if err := os.Chown(file, int(stat.Uid), int(stat.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestStreamsOverTLSAndUnixSockets: short waits, a lone change, a backlog and a row that is
// longer than all buffers, each by every way.
func TestStreamsOverTLSAndUnixSockets(t *testing.T) {
	t.Parallel()
	for way, url := range transports(t) {
		t.Run(way, func(t *testing.T) {
			ctx := t.Context()
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			exec := func(sql string) {
				t.Helper()
				if _, err := conn.Exec(ctx, sql); err != nil {
					t.Fatalf("%s: %v", sql, err)
				}
			}
			exec("CREATE TABLE of_" + way + " (id int PRIMARY KEY, v text)")
			exec("CREATE PUBLICATION by_" + way + " FOR TABLE of_" + way)
			exec("SELECT pg_create_logical_replication_slot('" + way + "', 'pgoutput')")
			db := postgres.New(postgres.Config{URL: url, Slot: way, Publication: "by_" + way, MaxRow: 4 << 20, Logger: slog.New(slog.DiscardHandler)})
			defer db.Close()
			db.Remember(&cdc.History{})
			stream, err := db.Stream(ctx, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			next := 1
			read := func(until, bytes int) {
				t.Helper()
				for begun := time.Now(); next <= until; {
					ev, err := stream.Next(ctx, 30*time.Microsecond)
					if err != nil {
						t.Fatal(err)
					}
					if time.Since(begun) > 30*time.Second {
						t.Fatalf("row %d does not come", next)
					}
					if ev == nil || ev.Kind != cdc.EventRow {
						continue
					}
					if got := string(ev.New[0].Data); got != strconv.Itoa(next) || len(ev.New[1].Data) != bytes {
						t.Fatalf("row %s with %d bytes, want row %d with %d", got, len(ev.New[1].Data), next, bytes)
					}
					next++
				}
			}
			insert := func(from, to, bytes int) {
				t.Helper()
				exec(fmt.Sprintf("INSERT INTO of_%s SELECT g, repeat('x', %d) FROM generate_series(%d, %d) g", way, bytes, from, to))
				read(to, bytes)
			}
			for id := range 20 {
				insert(id+1, id+1, 10)
			}
			insert(21, 30_000, 150)
			insert(30_001, 30_001, 3<<20)
			insert(30_002, 30_010, 200_000)
			insert(30_011, 30_011, 10)
		})
	}
}

// BenchmarkTransports drains copies of one slot by each way, in turns. Figures come from
// TAILRACE_BENCH_ROWS=1000000.
func BenchmarkTransports(b *testing.B) {
	rows := 20_000
	if n, err := strconv.Atoi(os.Getenv("TAILRACE_BENCH_ROWS")); err == nil {
		rows = n
	}
	urls := transports(b)
	ctx := b.Context()
	conn, err := pgx.Connect(ctx, urls["tcp"])
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range []string{
		"CREATE TABLE items (id bigint PRIMARY KEY, a bigint, b int, c text, d timestamptz)",
		"CREATE PUBLICATION live FOR ALL TABLES",
		"SELECT pg_create_logical_replication_slot('base', 'pgoutput')",
		fmt.Sprintf("DO $$ BEGIN FOR i IN 0..%d LOOP INSERT INTO items SELECT i * 100 + g, g, g, repeat('x', 80), now() FROM generate_series(1, 100) g; COMMIT; END LOOP; END $$", rows/100-1),
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			b.Fatal(err)
		}
	}
	took := map[string]time.Duration{}
	n := 0
	for b.Loop() {
		for _, way := range []string{"tcp", "tls", "unix"} {
			n++
			slot := fmt.Sprintf("copy_%d", n)
			if _, err := conn.Exec(ctx, "SELECT pg_copy_logical_replication_slot('base', $1)", slot); err != nil {
				b.Fatal(err)
			}
			took[way] += drainSlot(b, urls[way], slot, rows)
		}
	}
	for way, d := range took {
		b.ReportMetric(float64(rows)*float64(b.N)/d.Seconds(), "rows/s-"+way)
	}
}

// drainSlot reads so many rows from a slot.
func drainSlot(b *testing.B, url, slot string, rows int) time.Duration {
	b.Helper()
	db := postgres.New(postgres.Config{URL: url, Slot: slot, Publication: "live", MaxRow: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
	defer db.Close()
	db.Remember(&cdc.History{})
	stream, err := db.Stream(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	defer stream.Close()
	begun := time.Now()
	for rows > 0 {
		ev, err := stream.Next(b.Context(), 300*time.Microsecond)
		if err != nil {
			b.Fatal(err)
		}
		if ev != nil && ev.Kind == cdc.EventRow {
			rows--
		}
	}
	return time.Since(begun)
}
