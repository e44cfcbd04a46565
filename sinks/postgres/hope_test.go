package postgres

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/sinktest"
)

// hoping is a Sink for which every whole image makes its row, and that never gives up
// hope.
type hoping struct{ *Sink }

func (h hoping) Write(ctx context.Context, b *sinks.Batch) (sinks.Result, error) {
	for _, c := range b.Changes {
		if c.Op == cdc.OpUpdate && c.Full() {
			c.Op = cdc.OpCreate
		}
	}
	h.hopes.mu.Lock()
	h.hopes.lost = nil
	h.hopes.mu.Unlock()
	return h.Sink.Write(ctx, b)
}

// wary is a Sink that writes all batches in parts.
type wary struct{ hoping }

func (w wary) Write(ctx context.Context, b *sinks.Batch) (sinks.Result, error) {
	w.wary.Store(waryBatches)
	if b.Without == nil && len(b.Beside) == 0 {
		b.Without = func([]sinks.Refusal) *sinks.Batch { return nil }
	}
	return w.hoping.Write(ctx, b)
}

func TestContractWhereRowsOfPartsAreTakenForNew(t *testing.T) {
	t.Parallel()
	contractOf(t, func(s *Sink) sinks.Sink { return wary{hoping{s}} })
}

// A faulty row does not keep those beside it from being taken for new.
func TestTheRestOfAFaultyBatchIsTakenForNew(t *testing.T) {
	t.Parallel()
	f := newFixture(t, SchemaNone, probeTable)
	made := func(id int, amount string) *sinks.Change {
		return change(id, cdc.OpCreate, sinktest.Origin, probeShape, strconv.Itoa(id), amount, "\x00")
	}
	const target = `"public"."items"`
	f.sink.hopes.failed(target)
	for !f.sink.hopes.allows(target) { // until it is taken up again
		continue
	}
	left, err := f.inParts(made(1, "5"), made(2, "-5"), made(3, "5"))
	if err != nil || strings.Join(left, ",") != "2 23514" {
		t.Fatalf("left out: %v, error %v", left, err)
	}
	if f.sink.hopes.lost[target] == nil {
		t.Fatal("the first batch, of which no constraint was known, wrote its rows as new ones")
	}
	if left, err = f.inParts(made(11, "5"), made(12, "-5"), made(13, "5")); err != nil || strings.Join(left, ",") != "12 23514" {
		t.Fatalf("left out: %v, error %v", left, err)
	}
	if f.sink.hopes.lost[target] != nil {
		t.Error("no rows were written as new ones")
	}
	f.want("SELECT string_agg(id::text, ',' ORDER BY id) FROM items", "1,3,11,13")
}

func TestContractWhereAllRowsAreTakenForNew(t *testing.T) {
	t.Parallel()
	contractOf(t, func(s *Sink) sinks.Sink { return hoping{s} })
}

// contractOf runs the suite over a sink that behaves in a way of its own.
func contractOf(t *testing.T, as func(*Sink) sinks.Sink) {
	t.Helper()
	for mode, setup := range map[SchemaMode]string{SchemaAdd: "", SchemaNone: `CREATE TABLE public.items (id integer PRIMARY KEY, name text, note text, amount integer)`} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			sinktest.Run(t, func(t *testing.T) sinktest.Destination {
				d := destination(t, mode, setup)
				plain, cut := d.Open, d.Cut
				of := map[sinks.Sink]sinks.Sink{}
				d.Open = func(t *testing.T) sinks.Sink {
					s := plain(t)
					made := as(s.(*Sink))
					of[made] = s
					return made
				}
				d.Cut = func(t *testing.T, s sinks.Sink) { cut(t, of[s]) }
				return d
			})
		})
	}
}

// What an INSERT finds in its way is judged by position, and after that rows are not
// taken for new for a while.
func TestRowsThatAreNotNewAreJudgedByPosition(t *testing.T) {
	t.Parallel()
	shape := &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{{Name: "id", Type: sinks.Int32}, {Name: "name", Type: sinks.Text}}}
	for _, mode := range []SchemaMode{SchemaAdd, SchemaNone} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, mode, "CREATE TABLE items (id integer PRIMARY KEY, name text)")
			made := func(n int, id, name string) *sinks.Change {
				return change(n, cdc.OpCreate, sinktest.Origin, shape, id, name)
			}
			const target = `"public"."items"`
			f.mustWrite(made(1, "1", "a"), made(2, "2", "b"))
			if !f.sink.hopes.allows(target) {
				t.Fatal("rows that were new: the next ones are not taken for new")
			}
			plain := func(fresh bool) *query {
				op := &operation{kind: upsert, target: target, shape: shape, row: made(3, "3", "c").Row, fresh: fresh}
				tab, _ := f.sink.tables.get(target, shape)
				all := groups([]*operation{op}, func(*operation) *table { return tab }, (&transaction{sink: f.sink}).hopeful())
				return all[0].statement(scope{state: f.sink.state})
			}
			if q := plain(true); strings.Contains(q.sql, "ON CONFLICT") {
				t.Errorf("rows that are new: %s", q.sql)
			}
			if q := plain(false); !strings.Contains(q.sql, "ON CONFLICT") {
				t.Errorf("rows that may be there: %s", q.sql)
			}

			b := &sinks.Batch{Claim: f.claim, Expect: f.next, Next: f.next + 4, Generation: 1,
				Changes: []*sinks.Change{made(1, "1", "again"), made(0, "2", "older"), made(5, "1", "newer"), made(4, "4", "d")}}
			r, err := f.sink.Write(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			f.next = b.Next
			if got := r.Outcomes; got[0] != sinks.Applied || got[1] != sinks.Stale || got[2] != sinks.Applied || got[3] != sinks.Applied {
				t.Errorf("outcomes: %v", got) // the first was merged into the third
			}
			f.want("SELECT string_agg(id || name, ',' ORDER BY id) FROM items", "1newer,2b,4d")
			if f.sink.hopes.allows(target) {
				t.Error("rows that were not new: the next ones are taken for new")
			}
			if q := plain(true); !strings.Contains(q.sql, "ON CONFLICT") {
				t.Errorf("while the hope is given up: %s", q.sql)
			}

			exec(t, f.url, "INSERT INTO items VALUES (9, 'somebody')")
			f.sink.hopes.kept(target)
			f.mustWrite(made(6, "9", "ours"), made(7, "10", "new"))
			f.want("SELECT string_agg(id || name, ',' ORDER BY id) FROM items WHERE id > 8", "9ours,10new")
		})
	}
}

func TestVainHopesAreGivenUpForMoreAndMoreBatches(t *testing.T) {
	t.Parallel()
	var h hopes
	tries := func() (batches int) {
		for !h.allows("t") {
			batches++
		}
		return batches
	}
	for want := leastSkip; want < mostSkip; want *= 2 {
		h.failed("t")
		if got := tries(); got != want {
			t.Fatalf("after a vain batch: %d are written otherwise, want %d", got, want)
		}
	}
	for range 3 {
		h.failed("t")
		if got := tries(); got != mostSkip {
			t.Fatalf("after many vain batches: %d are written otherwise, want %d", got, mostSkip)
		}
	}
	h.failed("t")
	if !h.allows("other") {
		t.Error("another target's rows are not taken for new")
	}
	h.kept("t")
	if !h.allows("t") {
		t.Error("hope that was kept is not taken up again")
	}
}
