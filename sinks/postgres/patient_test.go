package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/sinks"
)

// A batch with faulty rows goes on without them in its transaction, whatever way they are
// found: by a length, by a check constraint, by what the server says of a value, or by
// parts. Where the caller leaves out more than was refused, the rows are named, and
// nothing is written.
func TestABatchGoesOnWithoutItsFaultyRows(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.URL, cfg.Pipeline = pgtest.NewDatabase(t), "p"
	conn, err := pgx.Connect(t.Context(), cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec(`CREATE TABLE public.rows (id int PRIMARY KEY, name varchar(10), amount numeric(6,2) CONSTRAINT positive CHECK (amount > 0), day date, _tailrace_gen bigint, _tailrace_pos text COLLATE "C")`)
	exec(`CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.name = 'odd' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$`)
	exec(`CREATE TRIGGER odd BEFORE INSERT OR UPDATE ON public.rows FOR EACH ROW EXECUTE FUNCTION odd()`)
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	claim, err := s.Claim(t.Context(), sinks.Partition{Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	shape := &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{{Name: "id", Type: sinks.Int32}, {Name: "name"}, {Name: "amount", Type: sinks.Decimal, Precision: 6, Scale: 2}, {Name: "day", Type: sinks.Date}}}
	origin := &sinks.Origin{Topic: "t", Schema: "public", Table: "rows"}
	faults := [][]string{{"far too long a name", "1.00", "2026-01-01"}, {"x", "123456.00", "2026-01-01"}, {"x", "-1.00", "2026-01-01"}, {"x", "1.00", "no day"}, {"odd", "1.00", "2026-01-01"}}
	rng := rand.New(rand.NewPCG(1, 2))
	lsn, next := 0, int64(sinks.NoOffset)
	want := map[int]string{}
	for round := range 12 {
		var changes []*sinks.Change
		bad := map[int]bool{}
		ids := map[*sinks.Change]int{}
		for i := range 300 {
			lsn++
			id := round*40 + rng.IntN(400)
			row := []string{strconv.Itoa(id), fmt.Sprint("n", lsn%1000), fmt.Sprint(lsn%9000+1, ".50"), "2026-01-01"}
			faulty := rng.IntN(40) == 0
			if faulty {
				copy(row[1:], faults[rng.IntN(len(faults))])
				bad[i] = true
			}
			c := &sinks.Change{Origin: origin, Op: cdc.OpUpdate, Shape: shape, Position: cdc.Position{Epoch: 1, LSN: cdc.LSN(lsn), Ordinal: 1}}
			c.Pos = c.Position.String()
			for _, v := range row {
				c.Row = append(c.Row, cdc.Value{State: cdc.Text, Data: []byte(v)})
			}
			c.Key = sinks.RowKey(c.Row[:1])
			ids[c] = id
			changes = append(changes, c)
		}
		// What a caller answers that leaves a faulty row's later changes out (odd rounds),
		// or the faulty changes alone.
		park := round%2 == 1
		refused := map[int]bool{}
		batch := &sinks.Batch{Claim: claim, Expect: next, Next: int64(round), Generation: 1, Changes: changes}
		without := func(refusals []sinks.Refusal) *sinks.Batch {
			for _, r := range refusals {
				if !bad[slices.Index(changes, batch.Changes[r.Index])] {
					t.Fatalf("round %d: a good change is refused: %v", round, r.Err)
				}
				refused[slices.Index(changes, batch.Changes[r.Index])] = true
			}
			less := *batch
			less.Changes, less.Without = nil, nil
			gone := map[int]bool{}
			for i, c := range changes {
				gone[ids[c]] = gone[ids[c]] || refused[i] && park
				if !refused[i] && !gone[ids[c]] {
					less.Changes = append(less.Changes, c)
				}
			}
			return &less
		}
		for {
			batch.Without = without
			_, err := s.Write(t.Context(), batch)
			var named *sinks.RefusedError
			if errors.As(err, &named) {
				batch = without(named.Refusals)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		next = batch.Next
		gone := map[int]bool{}
		for i, c := range changes {
			gone[ids[c]] = gone[ids[c]] || refused[i] && park
			if !bad[i] && !gone[ids[c]] {
				want[ids[c]] = string(c.Row[1].Data) + " " + string(c.Row[2].Data)
			}
		}
	}
	rows, err := conn.Query(t.Context(), "SELECT id, name || ' ' || amount FROM public.rows")
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]string{}
	var id int
	var text string
	if _, err := pgx.ForEachRow(rows, []any{&id, &text}, func() error { got[id] = text; return nil }); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		for id, w := range want {
			if got[id] != w {
				t.Errorf("row %d: got %q, want %q", id, got[id], w)
			}
		}
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
}
