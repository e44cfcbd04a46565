package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/sinktest"
)

// doubting is a Sink that tries every row before it writes it.
type doubting struct{ *Sink }

func (d doubting) Write(ctx context.Context, b *sinks.Batch) (sinks.Result, error) {
	d.doubts = true
	d.wary.Store(waryBatches)
	if b.Without == nil && len(b.Beside) == 0 {
		b.Without = func([]sinks.Refusal) *sinks.Batch { return nil }
	}
	return d.Sink.Write(ctx, b)
}

func TestContractWhereAllRowsAreTriedBefore(t *testing.T) {
	t.Parallel()
	contractOf(t, func(s *Sink) sinks.Sink { return doubting{s} })
}

var probeShape = &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{{Name: "id", Type: sinks.Int32}, {Name: "amount", Type: sinks.Int32}, {Name: "parent", Type: sinks.Int32}}}

// inParts writes a batch in parts, and returns the rows that it was to do without.
func (f *fixture) inParts(changes ...*sinks.Change) (left []string, err error) {
	f.sink.wary.Store(waryBatches)
	b := &sinks.Batch{Claim: f.claim, Expect: f.next, Next: max(f.next, 0) + int64(len(changes)), Generation: 1, Changes: changes}
	b.Without = func(refusals []sinks.Refusal) *sinks.Batch {
		less := *b
		less.Changes, less.Without = nil, nil
		refused := map[int]bool{}
		for _, r := range refusals {
			refused[r.Index] = true
			left = append(left, string(changes[r.Index].Row[0].Data)+" "+r.Err.Code)
		}
		for i, c := range changes {
			if !refused[i] {
				less.Changes = append(less.Changes, c)
			}
		}
		return &less
	}
	if _, err = f.sink.Write(f.t.Context(), b); err == nil {
		f.next = b.Next
	}
	return left, err
}

const probeTable = `CREATE TABLE items (id integer PRIMARY KEY, amount integer CONSTRAINT positive CHECK (amount > 0), parent integer REFERENCES items, _tailrace_gen bigint, _tailrace_pos text COLLATE "C")`

// Rows that are taken for faulty ones and are not, those that the others stand on
// included, are written; each of the others is refused in the server's own words; a column
// that is as it was stays so.
func TestWhatIsLikelyToBeRefusedIsTriedAndNoMore(t *testing.T) {
	t.Parallel()
	t.Run("prepared", func(t *testing.T) {
		t.Parallel()
		triedAndNoMore(t, newFixture(t, SchemaNone, probeTable))
	})
	t.Run("not prepared", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, SchemaNone, probeTable)
		sep := "?"
		if strings.Contains(f.url, sep) {
			sep = "&"
		}
		f.sink = open(t, f.url+sep+"default_query_exec_mode=exec", SchemaNone)
		t.Cleanup(f.sink.Close)
		triedAndNoMore(t, f)
		conn, err := f.sink.pool.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer f.sink.pool.release(conn)
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_prepared_statements").Scan(&n); err != nil || n != 0 {
			t.Errorf("%d statements are prepared, error %v", n, err)
		}
	})
}

func triedAndNoMore(t *testing.T, f *fixture) {
	t.Helper()
	n := 0
	row := func(op cdc.Op, values ...string) *sinks.Change {
		n++
		return change(n, op, sinktest.Origin, probeShape, values...)
	}
	check := func(left []string, err error, want ...string) {
		t.Helper()
		if err != nil || fmt.Sprint(left) != fmt.Sprint(want) {
			t.Errorf("got %v without %v, want without %v", err, left, want)
		}
	}
	f.sink.screens.set(`"public"."items"`, "gone", "amount < 100") // the target has no such constraint any more
	left, err := f.inParts(row(cdc.OpCreate, "1", "1", "\x00"), row(cdc.OpCreate, "2", "500", "\x00"), row(cdc.OpCreate, "3", "-1", "\x00"), row(cdc.OpCreate, "4", "400", "2"))
	check(left, err, "3 23514")
	f.want("SELECT string_agg(id || ' ' || amount, ',' ORDER BY id) FROM items", "1 1,2 500,4 400")

	f.sink.doubts = true
	left, err = f.inParts(row(cdc.OpUpdate, "1", "7", "\x01"), row(cdc.OpUpdate, "2", "\x01", "9"), row(cdc.OpUpdate, "4", "\x01", "1"), row(cdc.OpCreate, "5", "5", "5"), row(cdc.OpCreate, "6", "x", "\x00"),
		row(cdc.OpCreate, "7", "7", "70"), row(cdc.OpCreate, "70", "1", "\x00"))
	check(left, err, "2 23503", "6 22P02")
	f.want("SELECT string_agg(id || ' ' || amount || ' ' || coalesce(parent, 0), ',' ORDER BY id) FROM items", "1 7 0,2 500 0,4 400 1,5 5 5,7 7 70,70 1 0")

	changes := []*sinks.Change{row(cdc.OpDelete, "5", "\x01", "\x01"), row(cdc.OpDelete, "1", "\x01", "\x01")}
	left, err = f.inParts(changes...)
	check(left, err, "1 23503") // row 4 stands on it
	left, err = f.inParts(changes[0], row(cdc.OpUpdate, "5", "9", "\x00"))
	check(left, err)
	f.want("SELECT amount FROM items WHERE id = 5", "9")

	var many []*sinks.Change
	for i := range 3 * probesAtOnce {
		many = append(many, row(cdc.OpCreate, strconv.Itoa(1000+i), strconv.Itoa(i%2), "\x00"))
	}
	if left, err = f.inParts(many...); err != nil || len(left) != len(many)/2 {
		t.Errorf("many: %v without %d of %d rows", err, len(left), len(many))
	}
	f.want("SELECT count(*) FROM items WHERE id >= 1000", strconv.Itoa(len(many)/2))
}

// What is no fault of a row blames none, and leaves nothing of the batch.
func TestATryThatFailsForAnotherReasonRefusesNoRow(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]string{
		"deadlock":       "RAISE EXCEPTION 'no' USING ERRCODE = '40P01'",
		"lock":           "RAISE EXCEPTION 'no' USING ERRCODE = '55P03'",
		"full disk":      "RAISE EXCEPTION 'no' USING ERRCODE = '53100'",
		"lost statement": "RAISE EXCEPTION 'no' USING ERRCODE = '26000'",
		"end":            "PERFORM pg_terminate_backend(pg_backend_pid())",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, SchemaNone, probeTable)
			f.sink.doubts = true
			exec(t, f.url, `CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.amount = 5 THEN `+fault+`; END IF; RETURN NEW; END $$`)
			exec(t, f.url, `CREATE TRIGGER fault BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION fault()`)
			rows := []*sinks.Change{
				change(1, cdc.OpCreate, sinktest.Origin, probeShape, "1", "1", "\x00"), change(2, cdc.OpCreate, sinktest.Origin, probeShape, "2", "-1", "\x00"),
				change(3, cdc.OpCreate, sinktest.Origin, probeShape, "3", "5", "\x00"), change(4, cdc.OpCreate, sinktest.Origin, probeShape, "4", "-1", "\x00"),
			}
			left, err := f.inParts(rows...)
			var refused *sinks.RefusedError
			if err == nil || errors.As(err, &refused) || len(left) > 0 {
				t.Fatalf("got %v without %v", err, left)
			}
			f.want("SELECT count(*) FROM items", "0")
			exec(t, f.url, "DROP TRIGGER fault ON items")
			if left, err = f.inParts(rows...); err != nil || fmt.Sprint(left) != "[2 23514 4 23514]" {
				t.Errorf("afterwards: got %v without %v", err, left)
			}
			f.want("SELECT string_agg(id::text, ',' ORDER BY id) FROM items", "1,3")
		})
	}
}

// A statement that is prepared does not outlive its table's columns, nor its time, and
// there are not more and more of them.
func TestPreparedTriesFollowTheTable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, SchemaNone, probeTable)
	f.sink.doubts = true
	conn, err := f.sink.pool.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.sink.pool.release(conn) // the one that is lent next
	known := probesOf(conn)
	n := 0
	try := func() error {
		n++
		left, err := f.inParts(change(2*n, cdc.OpUpdate, sinktest.Origin, probeShape, "1", strconv.Itoa(n), "\x00"), change(2*n+1, cdc.OpUpdate, sinktest.Origin, probeShape, "2", "-1", "\x00"))
		if err == nil && fmt.Sprint(left) != "[2 23514]" {
			t.Errorf("batch %d: without %v", n, left)
		}
		return err
	}
	for range 8 {
		if err := try(); err != nil {
			t.Fatal(err)
		}
	}
	if len(known.named) != 1 || known.last != 1 {
		t.Fatalf("eight batches alike: %d statements are prepared, the last is number %d", len(known.named), known.last)
	}
	for sql, p := range known.named {
		p.until = time.Now()
		known.named[sql] = p
	}
	for i := range mostProbes {
		known.named["SELECT "+strconv.Itoa(i)] = probe{name: "tailrace_probe_none_" + strconv.Itoa(i)}
	}
	if err := try(); err != nil {
		t.Fatal(err)
	}
	if known.last != 2 {
		t.Errorf("after its time the statement is number %d", known.last)
	}
	for sql := range known.named {
		if !strings.HasPrefix(sql, "SELECT ") {
			delete(known.named, sql)
		}
	}
	if err := try(); err != nil {
		t.Fatal(err)
	}
	if len(known.named) != 1 {
		t.Errorf("%d statements are prepared", len(known.named))
	}
	exec(t, f.url, "ALTER TABLE items DROP CONSTRAINT positive, ADD CONSTRAINT positive CHECK (amount > 0), ALTER _tailrace_pos TYPE varchar COLLATE \"C\"")
	for tries := 0; ; tries++ {
		if err := try(); err == nil {
			break
		} else if tries == 3 {
			t.Fatalf("after the table has changed: %v", err)
		}
	}
	f.want("SELECT amount FROM items", strconv.Itoa(n))
}
