package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"

	"github.com/tailrace/tailrace/cdc"
)

// Switches lists where the server's history left the timelines before a timeline,
// oldest first: its history file (PostgreSQL documentation, section 53.4,
// TIMELINE_HISTORY). Timeline 1 has none.
func (d *Database) Switches(ctx context.Context, timeline int32) ([]cdc.Switch, error) {
	if timeline <= 1 {
		return nil, nil
	}
	conn, err := d.replication(ctx)
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	file, err := pglogrepl.TimelineHistory(ctx, conn, timeline)
	if err != nil {
		return nil, fmt.Errorf("TIMELINE_HISTORY %d: %w", timeline, err)
	}
	return parseSwitches(string(file.Content))
}

// parseSwitches reads a timeline history file: lines of timeline, LSN and reason.
func parseSwitches(text string) ([]cdc.Switch, error) {
	var out []cdc.Switch
	for _, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) < 2 {
			return nil, fmt.Errorf("timeline history: line %q", line)
		}
		timeline, err := strconv.ParseInt(fields[0], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("timeline history: %w", err)
		}
		at, err := cdc.ParseLSN(fields[1])
		if err != nil {
			return nil, fmt.Errorf("timeline history: %w", err)
		}
		out = append(out, cdc.Switch{Timeline: int32(timeline), At: at})
	}
	return out, nil
}
