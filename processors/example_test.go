package processors_test

import (
	"context"
	"fmt"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// A step in Go: closed orders are not in the target.
func ExampleStep() {
	open := processors.StepFunc(func(_ context.Context, c *processors.Change, _ processors.State, emit processors.Emit) error {
		if status, err := c.After.Text("status"); err == nil && status == "closed" {
			c.Remove()
		}
		return emit(c)
	})

	orders := &sinks.Shape{Key: []int{0}, Columns: []sinks.Column{{Name: "id", Type: sinks.Int64}, {Name: "status"}}}
	for _, status := range []string{"new", "closed"} {
		c := &processors.Change{Op: cdc.OpUpdate, After: processors.Row{Columns: orders, Values: []cdc.Value{processors.Int(7), processors.Text(status)}}}
		_ = open.Process(context.Background(), c, nil, func(c *processors.Change) error {
			id, err := c.Row().Int("id")
			fmt.Println(c.Op, id)
			return err
		})
	}
	// Output:
	// u 7
	// d 7
}
