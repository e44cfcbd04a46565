package test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestRatesOfReplays applies the same rows live, from the log and from the slot, and says
// how fast each is. TAILRACE_REPLAY_ROWS says how many rows.
func TestRatesOfReplays(t *testing.T) {
	t.Parallel()
	rows := 2_000
	if n, err := strconv.Atoi(os.Getenv("TAILRACE_REPLAY_ROWS")); err == nil {
		rows = n
	}
	w := newBackWorld(t)
	w.sql(`TRUNCATE accounts`)
	before := w.now()
	started := time.Now()
	for from := 1; from <= rows; from += 50_000 {
		w.sql(fmt.Sprintf(`INSERT INTO loads SELECT g, 'a note of some length, ' || g FROM generate_series(%d, %d) g`, from, min(from+49_999, rows)))
	}
	rate := func(started time.Time) string {
		d := time.Since(started)
		return fmt.Sprintf("%.0f rows/s (%d rows in %s)", float64(rows)/d.Seconds(), rows, d.Round(time.Millisecond))
	}
	w.settled(1)
	w.marks = 1
	t.Log("the relay, live, with the INSERTs:", rate(started))
	file := w.pipeline("good", "{schema}.{table}", "")
	applied := func(condition string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), w.sink)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		awaitLong(t, func() (bool, string) {
			var n int
			err := conn.QueryRow(t.Context(), `SELECT count(*) FROM loads WHERE `+condition).Scan(&n)
			return err == nil && n == rows, fmt.Sprintf("%d of %d rows, %v", n, rows, err)
		})
	}
	started = time.Now()
	w.runs(file)
	applied("true")
	t.Log("the processor, rows that are new:", rate(started))
	w.proc.stop()
	started = time.Now()
	w.back(0, file, "--from", before)
	t.Logf("processor replay found the offsets and set the pipeline back in %s", time.Since(started).Round(time.Millisecond))
	started = time.Now()
	w.runs(file)
	applied("_tailrace_gen = 2")
	t.Log("the processor, the same again in a new generation:", rate(started))
	w.proc.stop()
	sum, err := w.look(w.sink, `SELECT sum(next_offset)::text FROM tailrace.offsets WHERE topic LIKE '%.loads'`)
	if err != nil {
		t.Fatal(err)
	}
	end, err := strconv.Atoi(sum[0])
	if err != nil {
		t.Fatal(err)
	}
	w.back(0, file, "--from", before, "--only-missing")
	started = time.Now()
	w.runs(file)
	awaitLong(t, func() (bool, string) { // but for ends of transactions, which are noted when nothing else is to be done
		got, err := w.look(w.sink, `SELECT sum(next_offset)::text FROM tailrace.offsets WHERE topic LIKE '%.loads'`)
		n, bad := strconv.Atoi(strings.Join(got, ""))
		return err == nil && bad == nil && n >= end-20, fmt.Sprintf("offsets add up to %v, want %d, %v", got, end, err)
	})
	t.Log("the processor, the same again, nothing missing:", rate(started))
	started = time.Now()
	out, stderr, code := w.relay("replay", "--from", before, "--table", "public.loads", "--id", "rates")
	if code != 0 || !strings.Contains(out, "published into") {
		t.Fatalf("relay replay: exit %d\n%s%s", code, out, stderr)
	}
	t.Log("relay replay:", rate(started), strings.TrimSpace(out))
}

// awaitLong is await for what may take long where it is asked for.
func awaitLong(t *testing.T, ok func() (bool, string)) {
	t.Helper()
	for deadline := time.Now().Add(4 * time.Minute); ; pause(t, 50) {
		done, why := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(why)
		}
	}
}
