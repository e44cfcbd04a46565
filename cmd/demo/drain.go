package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience is how long the sink may stand still, different from the source,
// before the check gives up.
const patience = 90 * time.Second

// drain returns when the sink equals the source and both programs are ready, or
// with an error when nothing has moved for too long or a program has ended. What
// is compared here is compared again after both were stopped.
func (c *check) drain(ctx context.Context) error {
	var last [3]int64
	moved, told := time.Now(), time.Now()
	for {
		started := time.Now()
		result, err := c.compare(ctx)
		if err != nil {
			return err
		}
		health := errors.Join(ready(ctx, "relay", c.stack.relayOps), ready(ctx, "processor", c.stack.procOps))
		if result.Differences == 0 && health == nil {
			return nil
		}
		writes, err := c.sinkWrites(ctx)
		if err != nil {
			return err
		}
		if now := [3]int64{result.Differences, result.SinkRows, writes}; now != last {
			last, moved = now, time.Now()
		}
		if time.Since(moved) > patience {
			return errors.Join(fmt.Errorf("nothing has moved for %s, with %d differences left", patience, result.Differences), health)
		}
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			fmt.Fprintf(c.stderr, "%d rows in the source, %d in the sink, %d differences\n", result.Rows, result.SinkRows, result.Differences)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(300*time.Millisecond, time.Since(started))):
		}
	}
}

// sinkWrites is the number of rows that were ever written to the sink's tables.
func (c *check) sinkWrites(ctx context.Context) (n int64, err error) {
	conn, err := pgx.Connect(ctx, c.stack.sink())
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, `SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint
		FROM pg_stat_user_tables WHERE schemaname = 'public'`).Scan(&n)
	return n, err
}
