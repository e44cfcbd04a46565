package postgres

import (
	"log/slog"
	"slices"
	"strconv"
	"testing"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/sinks"
)

// BenchmarkWrite is batches of 5,000 rows of eight columns: inserted, and then
// updated in turn; and inserted with one row in a thousand that the server refuses.
func BenchmarkWrite(b *testing.B) {
	for _, test := range []struct {
		name   string
		fresh  bool
		poison int // one in so many; 0: none
	}{{"insert", true, 0}, {"update", false, 0}, {"poison", true, 1000}} {
		b.Run(test.name, func(b *testing.B) {
			fresh := test.fresh
			cfg := DefaultConfig()
			cfg.URL, cfg.Pipeline = pgtest.NewDatabase(b), "p"
			s, err := New(cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			claim, err := s.Claim(b.Context(), sinks.Partition{Topic: "t"})
			if err != nil {
				b.Fatal(err)
			}
			shape := &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{
				{Name: "id", Type: sinks.Int64}, {Name: "customer", Type: sinks.Int32}, {Name: "total", Type: sinks.Decimal, Precision: 10, Scale: 2},
				{Name: "status"}, {Name: "note"}, {Name: "created", Type: sinks.TimestampTZ}, {Name: "paid", Type: sinks.Bool}, {Name: "ref", Type: sinks.UUID},
			}}
			origin := &sinks.Origin{Topic: "t", Schema: "public", Table: "orders"}
			const rows = 5000
			n, next := 0, int64(sinks.NoOffset)
			batch := func() *sinks.Batch {
				changes := make([]*sinks.Change, rows)
				for i := range changes {
					n++
					id := i
					if fresh {
						id = n
					}
					c := &sinks.Change{Origin: origin, Op: cdc.OpUpdate, Shape: shape, Position: cdc.Position{Epoch: 1, LSN: cdc.LSN(n), Ordinal: 1}}
					c.Pos = c.Position.String()
					total := "1234.50"
					if test.poison > 0 && n%test.poison == 0 {
						total = "123456789012.50" // for numeric(10,2)
					}
					for _, v := range []string{strconv.Itoa(id), "42", total, "shipped", "left at the door", "2026-11-21 12:00:00+00", "t", "b68a35a7-17ad-35b3-af2a-ae46edb4545a"} {
						c.Row = append(c.Row, cdc.Value{State: cdc.Text, Data: []byte(v)})
					}
					c.Key = sinks.RowKey(c.Row[:1])
					changes[i] = c
				}
				out := &sinks.Batch{Claim: claim, Expect: next, Next: next + rows, Generation: 1, Changes: changes}
				out.Without = func(refusals []sinks.Refusal) *sinks.Batch {
					less := *out
					less.Changes = slices.Clone(changes)
					for _, r := range slices.Backward(refusals) {
						less.Changes = slices.Delete(less.Changes, r.Index, r.Index+1)
					}
					return &less
				}
				next = out.Next
				return out
			}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				w := batch()
				b.StartTimer()
				if _, err := s.Write(b.Context(), w); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
