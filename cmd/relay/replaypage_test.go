package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/docsgen"
)

// transcript runs commands and gives what they say, as docs/replay.md shows it.
func (w *world) transcript(t *testing.T, v transcripts, code int, commands ...string) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("```console\n")
	for _, line := range commands {
		if sql, ok := strings.CutPrefix(line, "psql: "); ok {
			w.sql(t, sql)
			_, _ = fmt.Fprintf(&text, "$ psql -c \"%s\"\n", sql)
			continue
		}
		r := w.relay(t, strings.Fields(line)[1:]...)
		if r.code != code {
			t.Fatalf("%s: exit %d, want %d\n%s%s", line, r.code, code, r.out, r.err)
		}
		_, _ = fmt.Fprintf(&text, "$ %s\n%s", line, r.out)
		if code != 0 {
			text.WriteString(r.err)
		}
	}
	return v.replace(strings.ReplaceAll(text.String(), w.name, "shop")) + "```"
}

// transcripts replaces what differs from run to run by something that looks like it.
type transcripts map[string]string

var (
	transcriptLSN   = regexp.MustCompile(`\b[0-9A-F]+/[0-9A-F]{4,8}\b`)
	transcriptTime  = regexp.MustCompile(`20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`)
	transcriptBytes = regexp.MustCompile(`\b[0-9.]+ (B|KiB|MiB)\b`)
	transcriptTook  = regexp.MustCompile(` in [0-9.]+ m?s, [0-9,]+/s`)
	transcriptTag   = regexp.MustCompile(`_(trailing|mark)_[0-9a-f]{6}`)
	transcriptGap   = regexp.MustCompile(`(\S)  +`)
)

func (v transcripts) replace(text string) string {
	text = volatile(v).replace(text)
	text = transcriptLSN.ReplaceAllStringFunc(text, func(m string) string {
		if v[m] == "" {
			v[m] = (cdc.LSN(0x1fc8e00) + cdc.LSN(0x100*len(v))).String()
		}
		return v[m]
	})
	text = transcriptTime.ReplaceAllStringFunc(text, func(m string) string {
		if at, err := time.Parse(time.RFC3339Nano, m); err == nil && time.Until(at) > time.Hour {
			return "2026-03-08T10:15:00Z"
		}
		return "2026-03-01T10:15:00Z"
	})
	text = transcriptBytes.ReplaceAllString(text, "1.5 MiB")
	text = transcriptTook.ReplaceAllString(text, " in 21 ms, 190/s")
	text = transcriptTag.ReplaceAllString(text, "_${1}_5f3a9c")
	return transcriptGap.ReplaceAllString(text, "$1   ")
}

// TestPageOfReplays makes the transcripts of docs/replay.md.
func TestPageOfReplays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "replay: {window: 6h}\n")
	w.configure(t, "partitions: 2", "partitions: 1") // one order
	w.sql(t, "CREATE TABLE orders (id int PRIMARY KEY, total numeric(10,2))", "CREATE TABLE customers (id int PRIMARY KEY)")
	w.start(t)
	eventually(t, "there is a trailing slot", func() bool { return w.held(t, "trailing") == "1" })
	v := transcripts{}
	section := func(name string, code int, commands ...string) {
		t.Helper()
		docsgen.Section(t, "docs/replay.md", name, w.transcript(t, v, code, commands...))
	}
	w.passes(t, "INSERT INTO customers VALUES (0)") // so that the bookmark lies after the trailing slot
	section("bookmark", 0, "relay slot bookmark before-migration", "psql: ALTER TABLE orders ADD COLUMN note text", "relay slot bookmarks")
	w.passes(t, "INSERT INTO orders VALUES (7, 12.50), (8, 3)", "UPDATE orders SET note = 'paid' WHERE id = 7", "INSERT INTO customers VALUES (1)", "DELETE FROM orders WHERE id = 8")
	section("dry", 0, "relay replay --from bookmark:before-migration --dry-run")
	section("replay", 0, "relay replay --from bookmark:before-migration --table public.orders --id tuesday")
	section("tail", 0, "relay tail "+w.name+".public.orders.replay.tuesday --until-end")
	section("gone", 3, "relay replay --from 0/15A3C28 --dry-run")
	section("release", 0, "relay slot release before-migration")
}
