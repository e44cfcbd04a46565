package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/docsgen"
)

// example is a section of docs/events.md: what is run, and the records of it.
type example struct {
	section string
	sql     []string // shown, and run each by itself
	topics  []string // whose new records are shown, in the order of positions
	source  bool     // show source and all headers
	block   bool     // show the block transaction
}

var pageSetup = []string{
	"CREATE TYPE status AS ENUM ('new', 'paid', 'shipped')",
	`CREATE TABLE orders (
	id       bigint PRIMARY KEY,
	customer int NOT NULL,
	total    numeric(10,2) NOT NULL,
	status   status NOT NULL DEFAULT 'new',
	note     text,
	placed   timestamptz NOT NULL
)`,
	"CREATE TABLE customers (id int PRIMARY KEY, name text, mail text, phone varchar(16), password text)",
	"ALTER TABLE customers REPLICA IDENTITY FULL",
}

var examples = []example{
	{section: "insert", source: true, topics: []string{"public.orders"},
		sql: []string{"INSERT INTO orders SELECT 7, 2, 12.50, 'new', string_agg(md5(n::text), ' '), '2026-03-01 10:15:00.25+01' FROM generate_series(1, 100) n"}},
	{section: "update", topics: []string{"public.orders"}, sql: []string{"UPDATE orders SET status = 'paid' WHERE id = 7"}},
	{section: "key-change", topics: []string{"public.orders"}, sql: []string{"UPDATE orders SET id = 8 WHERE id = 7"}},
	{section: "delete", topics: []string{"public.orders"}, sql: []string{"DELETE FROM orders WHERE id = 8"}},
	{section: "masks", topics: []string{"public.customers"},
		sql: []string{"INSERT INTO customers VALUES (1, 'Ann', 'ann@example.com', '+49 30 1234', 'hunter2')", "UPDATE customers SET name = 'Anna', mail = NULL, password = NULL"}},
	{section: "transaction", block: true, topics: []string{"public.customers", "transaction"},
		sql: []string{"BEGIN; INSERT INTO customers (id, name) VALUES (2, 'Ben'); DELETE FROM customers WHERE id = 1; COMMIT"}},
	{section: "message", topics: []string{"message"}, block: true,
		sql: []string{"SELECT pg_logical_emit_message(true, 'audit', 'Ann was here')", "SELECT pg_logical_emit_message(false, 'audit', 'so was Ben')"}},
	{section: "truncate", topics: []string{"public.customers"}, sql: []string{"TRUNCATE customers"}},
	{section: "dead-letter", topics: []string{"shop.dead_letter"}, sql: []string{"INSERT INTO orders VALUES (9, 2, 'NaN', 'new', NULL, '2026-03-01 10:15:00+01')"}},
	{section: "heartbeat", topics: []string{"heartbeat"}},
}

// TestPageOfTheRecords makes the examples of docs/events.md: every one is what a
// relay writes.
func TestPageOfTheRecords(t *testing.T) {
	t.Parallel()
	key := write(t, "key", "0123456789abcdef")
	w := newWorld(t, `format: {transaction_metadata: true, truncate: true}
heartbeat: {interval: 100ms, topic: true}
tables:
  overrides:
    public.customers:
      columns: {exclude: [password]}
      mask: {mail: {asterisks: 8}, name: {truncate: 2}, phone: {hash: {key_file: `+key+`}}}
`)
	w.configure(t, "name: "+w.name+"\n", "name: shop\n")
	w.name = "shop"
	w.begin(t, pageSetup...)
	docsgen.Section(t, "docs/events.md", "table", "```sql\n"+strings.Join(pageSetup[:2], ";\n")+";\n```")
	shownBefore := map[string]int{}
	names := volatile{}
	for _, e := range examples {
		w.sql(t, e.sql...)
		w.stream(t)
		var text strings.Builder
		if len(e.sql) > 0 {
			_, _ = fmt.Fprintf(&text, "```sql\n%s;\n```\n\n", strings.Join(e.sql, ";\n"))
		}
		text.WriteString("```json\n")
		for _, s := range w.fresh(t, e, shownBefore) {
			text.WriteString(names.replace(exampleText(t, e, s)) + "\n")
		}
		text.WriteString("```")
		docsgen.Section(t, "docs/events.md", e.section, text.String())
	}
}

// fresh are the records that an example has made. Of transaction metadata these are
// the marks of the transactions that its other records belong to.
func (w *world) fresh(t *testing.T, e example, before map[string]int) []shown {
	t.Helper()
	var list []shown
	for _, topic := range e.topics {
		if topic == "transaction" {
			for _, mark := range w.records(t, topic, 1) {
				if strings.Contains(string(mark.Key), transactionID(t, list[0])) {
					list = append(list, mark)
				}
			}
			continue
		}
		all := w.records(t, topic, before[topic]+1)
		list = append(list, all[before[topic]:]...)
		before[topic] = len(all)
	}
	if e.section == "heartbeat" {
		list = list[:1]
	}
	return slices.DeleteFunc(list, func(s shown) bool { return e.block && s.Op == nil && strings.HasSuffix(s.Topic, ".customers") })
}

// exampleText is a record in a few lines, less what is the same everywhere.
func exampleText(t *testing.T, e example, s shown) string {
	t.Helper()
	var lines []string
	add := func(fields ...any) {
		var parts []string
		for i := 0; i < len(fields); i += 2 {
			text, err := json.Marshal(fields[i+1])
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, fmt.Sprintf("%q:%s", fields[i], text))
		}
		lines = append(lines, strings.Join(parts, ","))
	}
	if s.Op == nil && strings.Contains(string(s.After), "ts_ms") {
		add("topic", s.Topic, "key", s.Key) // no change of a row
	} else {
		add("topic", s.Topic, "op", s.Op, "key", s.Key)
	}
	if s.Op != nil && *s.Op != "m" || string(s.After) == "null" {
		add("before", s.Before)
	}
	add("after", s.After)
	if e.source {
		add("source", s.Source)
	}
	if e.block && s.Transaction != nil {
		add("transaction", s.Transaction)
	}
	if s.Reason != "" {
		add("column", s.Column, "reason", s.Reason)
	}
	headers := map[string]string{}
	for name, value := range s.Headers {
		if e.source || !strings.Contains(name, "context.") {
			headers[name] = value
		}
	}
	add("headers", headers)
	return "{" + strings.Join(lines, ",\n ") + "}"
}

// volatile replaces what differs from run to run by something that looks like it.
type volatile map[string]string

var (
	volatileHex  = regexp.MustCompile(`[0-9a-f]{8}/([0-9a-f]{16})/`)
	volatileText = regexp.MustCompile(`"(ts_ms|ts_us|ts_ns|txId|lsn)":[0-9]+`)
	volatileID   = regexp.MustCompile(`"[0-9]{3,}:[0-9]+"`)
	sequences    = regexp.MustCompile(`"sequence":"(?:[^"\\]|\\.)*"`)
	identifiers  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}`)
	databases    = regexp.MustCompile(`"db":"[a-z0-9_]+"`)
	longTexts    = regexp.MustCompile(`([0-9a-f]{8})[0-9a-f ]{200,}`)
)

func (v volatile) replace(text string) string {
	text = volatileHex.ReplaceAllStringFunc(text, func(m string) string {
		if v[m] == "" {
			lsn := cdc.LSN(0x1fc8e00 + 0x100*len(v))
			v[m] = fmt.Sprintf("00000001/%016x/", uint64(lsn))
		}
		return v[m]
	})
	text = volatileText.ReplaceAllStringFunc(text, func(m string) string {
		name, _, _ := strings.Cut(m, ":")
		return name + ":" + map[string]string{
			`"ts_ms"`: "1795310018159", `"ts_us"`: "1795310018159119", `"ts_ns"`: "1795310018159119000", `"txId"`: "812", `"lsn"`: "33328680",
		}[name]
	})
	text = volatileID.ReplaceAllString(text, `"815:33329408"`)
	text = sequences.ReplaceAllString(text, `"sequence":"[\"33328632\",\"33328680\"]"`)
	text = identifiers.ReplaceAllString(text, "01a200d0-c2fd-7573-bcdd-8dec68fd81e4")
	text = databases.ReplaceAllString(text, `"db":"shop"`)
	return longTexts.ReplaceAllString(text, "$1…")
}
