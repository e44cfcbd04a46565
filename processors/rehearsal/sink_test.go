package rehearsal_test

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/tailrace/tailrace/processors/rehearsal"
	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/sinktest"
)

// opened is the one destination in the hands of another process.
type opened struct {
	*rehearsal.Sink
	cut bool
}

func (o *opened) Write(ctx context.Context, b *sinks.Batch) (sinks.Result, error) {
	if o.cut {
		o.cut = false
		return sinks.Result{}, errors.New("cut")
	}
	return o.Sink.Write(ctx, b)
}

func TestSinkKeepsTheContract(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, func(*testing.T) sinktest.Destination {
		s := rehearsal.NewSink()
		return sinktest.Destination{
			Open: func(*testing.T) sinks.Sink { return &opened{Sink: s} },
			Cut:  func(_ *testing.T, s sinks.Sink) { s.(*opened).cut = true },
			Rows: func(t *testing.T) map[int]sinktest.Row {
				out := map[int]sinktest.Row{}
				for _, r := range s.Rows("public.items") {
					id, err := strconv.Atoi(*r["id"])
					if err != nil {
						t.Fatal(err)
					}
					out[id] = sinktest.Row{Name: *r["name"], Note: *r["note"], Amount: *r["amount"]}
				}
				return out
			},
		}
	})
}
