package cdc

import (
	"context"
	"testing"
)

// plainPlan copies values: what the loop itself costs is what is measured.
type plainPlan struct{ key []int }

func (plainPlan) KeyID() int   { return 1 }
func (plainPlan) ValueID() int { return 2 }

func (p plainPlan) AppendKey(dst []byte, row []Value) ([]byte, error) {
	dst = append(dst, 0, 0, 0, 0, 1)
	for _, i := range p.key {
		dst = append(dst, row[i].Data...)
	}
	return dst, nil
}

func (p plainPlan) AppendKeyJSON(dst []byte, row []Value) ([]byte, error) {
	return p.AppendKey(dst, row)
}

func (plainPlan) AppendValue(dst []byte, e *Envelope) ([]byte, error) {
	for _, row := range [][]Value{e.Before, e.After} {
		for i := range row {
			dst = append(dst, row[i].Data...)
		}
	}
	return append(dst, e.TransactionID...), nil
}

func (plainPlan) KeySchema() string { return "" }

type plainEncoder struct{ *texts }

func (e plainEncoder) Plan(_ context.Context, t *Table, _, _ string) (Plan, *Table, error) {
	return plainPlan{t.Key}, t, nil
}

// opened is a relay inside of a transaction, with a row for it.
func opened(tb testing.TB, set func(*Config)) (*Relay, *Event) {
	w := newWorld(tableOf(1, "t", "id", "a", "b", "c"))
	set(&w.config)
	w.server.transaction(insert(1, "1", "some text", "more text", "and more"))
	r, s := w.relay()
	r.Encoder = plainEncoder{w.encoder}
	for range 3 { // BEGIN, RELATION, the first row
		ev, err := s.Next(tb.Context(), 0)
		if err == nil {
			err = r.handle(tb.Context(), ev)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	ev := s.events[2]
	return r, &ev
}

func shapes() map[string]func(*Config) {
	return map[string]func(*Config){
		"plain":        func(*Config) {},
		"transactions": func(c *Config) { c.Transactions = true },
		"debezium":     func(c *Config) { c.Transactions, c.Debezium, c.WholeKey = true, true, true },
		"masked": func(c *Config) {
			c.Rules = rules(Rules{Keep: without("c"), Mask: func(name string) *Mask {
				if name == "a" {
					return Hash([]byte("0123456789abcdef"), &Column{Type: texT()})
				}
				return stars("b")(name)
			}})
		},
		"filtered rows": func(c *Config) {
			c.Rules = rules(Rules{Filter: func(*Table, []Value) (bool, error) { return true, nil }})
		},
	}
}

func TestARowAllocatesNothing(t *testing.T) {
	for name, set := range shapes() {
		r, ev := opened(t, set)
		for _, op := range []Op{OpCreate, OpUpdate} {
			row := *ev
			row.Op = op
			allocations := testing.AllocsPerRun(200, func() {
				if err := r.handle(t.Context(), &row); err != nil {
					t.Fatal(err)
				}
				r.batch.Reset()
			})
			if allocations != 0 {
				t.Errorf("%s, %s: %v allocations a row", name, op, allocations)
			}
		}
	}
}

func BenchmarkRow(b *testing.B) {
	for name, set := range shapes() {
		b.Run(name, func(b *testing.B) {
			r, ev := opened(b, set)
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if err := r.handle(ctx, ev); err != nil {
					b.Fatal(err)
				}
				if len(r.batch.Buf) > 1<<18 {
					r.batch.Reset()
				}
			}
		})
	}
}
