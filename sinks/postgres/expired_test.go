package postgres

import (
	"context"
	"errors"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/sinktest"
)

// expireAll removes the tombstones as the end of their retention does.
func (f *fixture) expireAll(t *testing.T) {
	t.Helper()
	exec(t, f.url, "UPDATE tailrace.tombstones SET expires = now() - interval '1 second'")
	conn := connect(t, f.url)
	defer conn.Close(context.Background())
	if n, err := f.sink.expire(t.Context(), conn); err != nil || n == 0 {
		t.Fatalf("expire: %d rows, %v", n, err)
	}
}

// A deleted row's position is given up some time; what stays is a floor, below which
// nobody may say that an unknown row is new.
func TestExpiredPositionsLeaveAFloor(t *testing.T) {
	t.Parallel()
	shape := &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{{Name: "id", Type: sinks.Int32}, {Name: "name", Type: sinks.Text}}}
	for mode, setup := range map[SchemaMode]string{SchemaAdd: "", SchemaNone: "CREATE TABLE items (id integer PRIMARY KEY, name text)"} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, mode, setup)
			put := func(n int, id string) *sinks.Change {
				return change(n, cdc.OpUpdate, sinktest.Origin, shape, id, "at"+id)
			}
			f.mustWrite(put(1, "1"), put(2, "2"))
			f.mustWrite(change(5, cdc.OpDelete, sinktest.Origin, shape, "1", "\x01"))
			f.expireAll(t)
			f.want("SELECT count(*)::text FROM tailrace.tombstones", "0")

			late := put(4, "1")
			var refused *sinks.RefusedError
			if err := f.write(put(6, "3"), late); !errors.As(err, &refused) || refused.Refusals[0].Index != 1 || refused.Refusals[0].Err.Class != sinks.ClassUnknown {
				t.Fatalf("a late change of an unknown row: %v", err)
			}
			// A row that is there is judged by its own position, one that is newer is new.
			f.mustWrite(put(3, "2"), put(6, "1"), put(7, "4"))
			f.want("SELECT string_agg(id::text, ',' ORDER BY id) FROM items", "1,2,4")

			// The floor says what a dead letter is replayed against, and force stands above it.
			f.mustWrite(change(8, cdc.OpDelete, sinktest.Origin, shape, "4", "\x01"))
			f.expireAll(t)
			old := put(7, "5")
			found, err := f.sink.Inspect(t.Context(), f.claim.Partition, []*sinks.Change{old, put(7, "2")})
			if err != nil || found[0].Exists || found[0].Pos != sinktest.At(8).String() || !found[1].Exists || found[1].Pos != sinktest.At(3).String() {
				t.Fatalf("inspect: %+v, %v", found, err)
			}
			old.Pos = found[0].Pos + "/ffff"
			f.mustWrite(old)
			f.want("SELECT string_agg(id::text, ',' ORDER BY id) FROM items", "1,2,5")

			// Another partition of the table has given up nothing.
			f.claim.Number, f.next = 4, sinks.NoOffset
			if f.claim, err = f.sink.Claim(t.Context(), sinks.Partition{Topic: f.claim.Topic, Number: 4}); err != nil {
				t.Fatal(err)
			}
			f.mustWrite(put(1, "6"))
			f.want("SELECT string_agg(id::text, ',' ORDER BY id) FROM items", "1,2,5,6")
		})
	}
}

func TestLateChangesMayBeDropped(t *testing.T) {
	t.Parallel()
	shape := &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{{Name: "id", Type: sinks.Int32}}}
	f := newFixture(t, SchemaAdd, "")
	f.sink.cfg.DropLate = true
	f.mustWrite(change(1, cdc.OpCreate, sinktest.Origin, shape, "1"))
	f.mustWrite(change(5, cdc.OpDelete, sinktest.Origin, shape, "1"))
	f.expireAll(t)
	f.mustWrite(change(4, cdc.OpUpdate, sinktest.Origin, shape, "1"), change(6, cdc.OpUpdate, sinktest.Origin, shape, "2"))
	f.want("SELECT string_agg(id::text, ',') FROM items", "2")
}
