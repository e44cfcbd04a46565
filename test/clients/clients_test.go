package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/internal/embedded/real"
	"github.com/tailrace/tailrace/test/program"
)

// What make test-real passes on.
const (
	envKafka    = "TAILRACE_TEST_KAFKA"
	envRegistry = "TAILRACE_TEST_REGISTRY"
	envParts    = "TAILRACE_TEST_PARTS"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// modes are the forms that are read.
var modes = []struct{ name, yaml string }{
	{"default", ""},
	{"debezium", "format: {compat: debezium}\n"},
}

// TestOtherLanguagesReadTheRows publishes a table in both forms, and has each
// client read the topic.
func TestOtherLanguagesReadTheRows(t *testing.T) {
	cache := os.Getenv(envParts)
	if cache == "" {
		t.Skipf("needs Apache Kafka, a registry and libraries of other languages; make test-real has them (%s is not set)", envParts)
	}
	parts, err := real.Installed(cache)
	if err != nil {
		t.Fatal(err)
	}
	relay, err := program.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			s := publish(t, relay, mode.name, mode.yaml)
			t.Run("confluent-kafka", func(t *testing.T) { s.compare(t, s.lines(t, python(t, cache, s))) })
			t.Run("kafkajs", func(t *testing.T) { s.compare(t, s.lines(t, node(t, cache, s))) })
			t.Run("java", func(t *testing.T) { s.compare(t, s.lines(t, java(t, parts, s))) })
			t.Run("jdbc-sink", func(t *testing.T) { s.sink(t, parts) })
		})
	}
}

// source is a table whose topic is complete.
type source struct {
	conn            *pgx.Conn
	topic           string
	kafka, registry string
	nullIsDefault   bool // in a nullable column with a default
}

// publish has the relay publish the table: first what is there, then changes.
func publish(t *testing.T, relay program.Relay, mode, yaml string) *source {
	t.Helper()
	url := pgtest.NewDatabase(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	name := fmt.Sprintf("clients_%s_%d", mode, time.Now().UnixNano())
	s := &source{conn: conn, topic: name + ".public.things", kafka: os.Getenv(envKafka), registry: os.Getenv(envRegistry), nullIsDefault: mode == "debezium"}
	var defs []string
	for _, c := range columns {
		defs = append(defs, c.name+" "+c.definition)
	}
	s.run(t, "CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE TABLE things ("+strings.Join(defs, ", ")+")", "ALTER TABLE things REPLICA IDENTITY FULL")
	s.run(t, setup...)
	dir, listen := t.TempDir(), program.FreeAddress(t)
	file := filepath.Join(dir, "relay.yaml")
	// kafkajs alone cannot read lz4, the relay's default.
	config := fmt.Sprintf("name: %s\npostgres: {url: %q}\nkafka: {brokers: [%q], single_broker: true, compression: gzip, topics: {partitions: 1}}\nregistry: {url: %q}\nops: {listen: %q}\n%s",
		name, url, s.kafka, s.registry, listen, yaml)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	relay.Run(t, file, listen, filepath.Join(dir, "relay.log"))
	s.run(t, workload...)
	return s
}

func (s *source) run(t *testing.T, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if err := s.conn.PgConn().Exec(t.Context(), q).Close(); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// lines runs a client and gives what it printed.
func (s *source) lines(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil || out.Len() == 0 {
		t.Fatalf("%s: %v\n%s\n%s", cmd, err, tail(log.String()), tail(out.String()))
	}
	return out.Bytes()
}

func tail(s string) string {
	if len(s) > 3000 {
		s = "… " + s[len(s)-3000:]
	}
	return s
}

// compare applies the records that a client read, and compares the outcome with
// the table.
func (s *source) compare(t *testing.T, lines []byte) {
	t.Helper()
	rows := map[string]map[string]any{}
	records := 0
	for line := range bytes.Lines(lines) {
		var r struct {
			Key   map[string]any
			Value map[string]any
		}
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		records++
		id := fmt.Sprint(r.Key["id"])
		after, ok := r.Value["after"].(map[string]any)
		if !ok {
			delete(rows, id)
			continue
		}
		rows[id] = after
	}
	want := s.rows(t)
	if len(want) < 30 || len(rows) != len(want) {
		t.Errorf("%d records make %d rows, the table has %d", records, len(rows), len(want))
	}
	for id, row := range want {
		for _, c := range columns {
			if got := travelled(c, rows[id][c.name]); got != row[c.name] {
				t.Errorf("row %s, column %s: read %s, the table has %s", id, c.name, got, row[c.name])
			}
		}
	}
	t.Logf("%d records, %d rows", records, len(rows))
}

// rows are the rows of the table by id, each value in the form in which it
// travels.
func (s *source) rows(t *testing.T) map[string]map[string]string {
	t.Helper()
	list := make([]string, len(columns))
	for i, c := range columns {
		form := c.travels
		if form == "" {
			form = c.name
		}
		list[i] = fmt.Sprintf("(%s)::text", form)
		if def := c.def(); def != "" && s.nullIsDefault {
			list[i] = fmt.Sprintf("coalesce(%s, (%s)::text)", list[i], def)
		}
	}
	rows, err := s.conn.Query(t.Context(), "SELECT "+strings.Join(list, ", ")+" FROM things")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := map[string]map[string]string{}
	for rows.Next() {
		values := make([]*string, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := map[string]string{}
		for i, c := range columns {
			row[c.name] = "null"
			if values[i] != nil {
				row[c.name] = canonical(c, *values[i])
			}
		}
		found[*values[0]] = row
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// canonical brings what PostgreSQL prints into the form of travelled.
func canonical(c column, text string) string {
	switch c.name {
	case "b":
		return text
	case "f4", "f8":
		f, _, err := big.ParseFloat(text, 10, 200, big.ToNearestEven)
		if err != nil {
			return text
		}
		v, _ := f.Float64()
		if c.name == "f4" {
			v = float64(float32(v))
		}
		return fmt.Sprint(v)
	case "tags", "ints", "p":
		var v any
		if json.Unmarshal([]byte(text), &v) != nil {
			return text
		}
		b, _ := json.Marshal(v)
		return string(b)
	}
	return text
}

// travelled is a value that a client read, as text: decimals as numbers, whether
// the client made them or left the bytes.
func travelled(c column, v any) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case json.Number:
		if c.name == "f4" || c.name == "f8" {
			return canonical(c, x.String())
		}
		return x.String()
	case string:
		if c.name == "dec" && strings.HasPrefix(x, "0x") {
			return decimal(x, 2)
		}
		return x
	case map[string]any:
		switch c.name {
		case "num":
			scale := 0
			if _, err := fmt.Sscan(fmt.Sprint(x["scale"]), &scale); err != nil {
				return fmt.Sprint(x)
			}
			return decimal(fmt.Sprint(x["value"]), scale)
		case "p":
			v = map[string]any{"x": float(x["x"]), "y": float(x["y"])}
		}
	case []any:
		if c.name == "ints" { // numbers, as text or not
			for i := range x {
				if x[i] != nil {
					x[i] = fmt.Sprint(x[i])
				}
			}
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// float is a number of a client, 0.0 like 0.
func float(v any) any {
	if n, ok := v.(json.Number); ok {
		if f, err := n.Float64(); err == nil {
			return f
		}
	}
	return v
}

// decimal is a number from the bytes of its unscaled value, big-endian in two's
// complement.
func decimal(hex string, scale int) string {
	n, ok := new(big.Int).SetString(strings.TrimPrefix(hex, "0x"), 16)
	if !ok {
		return "no number: " + hex
	}
	if bits := 4 * (len(hex) - 2); n.Bit(bits-1) == 1 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	}
	return new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)).FloatString(scale)
}
