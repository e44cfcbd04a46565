package processors

import (
	"context"
	"errors"
	"testing"

	"github.com/tailrace/tailrace/kafka"
)

// fragile is a registry that does not answer.
type fragile struct{ error }

func (f fragile) SchemaByID(context.Context, int) (string, error) { return "", f.error }

func TestWhatWasDecodedAheadIsTakenForTheSameMessagesAlone(t *testing.T) {
	t.Parallel()
	all, registry := BenchMessages(t, 4*aheadLeast, false)
	all[aheadLeast+3].Value, all[aheadLeast+3].Control = nil, true // gives no item
	again := make([]kafka.Message, len(all))                       // as fetched a second time
	for i, m := range all {
		m.Value = append([]byte(nil), m.Value...)
		again[i] = m
	}
	first, second, third := all[:aheadLeast], all[aheadLeast:2*aheadLeast], all[2*aheadLeast:]
	for name, test := range map[string]struct {
		ahead, take []kafka.Message
		n, items    int
		left        bool
	}{
		"as many":                   {second, second, aheadLeast, aheadLeast - 1, false},
		"more have come":            {second, all[aheadLeast:], aheadLeast, aheadLeast - 1, false},
		"fewer":                     {second, second[:100], 100, 99, false},
		"the batch before, again":   {second, first, 0, 0, true},
		"begins in between":         {all[:2*aheadLeast], second, 0, 0, false},
		"begins before":             {second, all[:2*aheadLeast], 0, 0, false},
		"from further on":           {second, third, 0, 0, false},
		"fetched a second time":     {second, again[aheadLeast : 2*aheadLeast], 0, 0, false},
		"none, and none is decoded": {first[:aheadLeast-1], first[:aheadLeast-1], 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := ahead{decoder: newDecoder(registry, newShapes(), false)}
			a.begin(t.Context(), test.ahead)
			items, n := a.take(test.take)
			if n != test.n || len(items) != test.items {
				t.Fatalf("taken: %d messages, %d items; want %d, %d", n, len(items), test.n, test.items)
			}
			for i := range items {
				if it := &items[i]; it.change == nil || it.change.Offset != it.message.Offset || it.message.Offset < test.take[0].Offset || it.message.Offset > test.take[n-1].Offset {
					t.Fatalf("item %d: %+v", i, it)
				}
			}
			if left := a.done != nil; left != test.left {
				t.Errorf("still there: %v, want %v", left, test.left)
			}
			if test.left {
				if _, n := a.take(test.ahead); n != len(test.ahead) {
					t.Errorf("at its turn: %d messages, want %d", n, len(test.ahead))
				}
			}
			if items, _ := a.take(test.ahead); items != nil {
				t.Error("given twice")
			}
		})
	}
}

// What cannot be decoded ahead is the matter of its batch's turn.
func TestAnErrorAheadIsNotKept(t *testing.T) {
	t.Parallel()
	all, registry := BenchMessages(t, aheadLeast, false)
	o := &owner{decoder: newDecoder(registry, newShapes(), false), ahead: ahead{decoder: newDecoder(fragile{errors.New("away")}, newShapes(), false)}}
	o.ahead.begin(t.Context(), all)
	items, err := o.decode(t.Context(), all)
	if err != nil || len(items) != len(all) {
		t.Errorf("got %d items, %v; want %d", len(items), err, len(all))
	}
}
