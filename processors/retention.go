package processors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tailrace/tailrace/processors/state"
)

// purgeEvery and purgeRows bound what the removal of expired rows costs.
const (
	purgeEvery = 30 * time.Second
	purgeRows  = 5000
)

// expire removes the records of rows that were deleted long ago, and raises the
// floor of their table in their place: of a row that is not known, and comes at or
// below it, nobody may say that it is new.
//
// A round that has nothing else stores an offset all the same: without one, the brokers
// would take it from a member that was put out of the group.
func (m *member) expire(rd *round, able []*owner) {
	retention := m.runtime.config.Retention
	if retention <= 0 {
		return
	}
	seen := map[*task]bool{}
	for _, o := range able {
		t := o.task
		if seen[t] || rd.started.Sub(t.purged) < purgeEvery {
			continue
		}
		seen[t], t.purged = true, rd.started
		overlay := rd.overlay(t)
		mark := overlay.Mark()
		if n, err := forgetRows(overlay, t.replica.Memory, rd.started.Add(-retention)); err != nil {
			overlay.Rollback(mark)
			o.log.Error("the positions of deleted rows stay for now", "error", err)
		} else if n > 0 {
			rd.store(o)
			o.log.Debug("forgot rows that were deleted long ago", "rows", n)
		}
	}
}

// forgetRows removes rows that were deleted before a time.
func forgetRows(overlay *state.Overlay, store *state.Memory, before time.Time) (rows int, err error) {
	for _, table := range store.Tables("", state.Row) {
		var old []string
		store.Each("", state.Row, table, func(key string, value []byte) bool {
			r, parse := state.ParseRow(value)
			if parse != nil {
				err = parse
				return false
			}
			if !r.Removed.IsZero() && r.Removed.Before(before) {
				old = append(old, key)
			}
			return len(old) < purgeRows
		})
		for _, key := range old {
			k := state.Key{Scope: state.Row, Table: table, Key: key}
			// The batch may have brought the row back.
			b, ok, _ := overlay.Get(context.Background(), k)
			if r, parse := state.ParseRow(b); ok && parse == nil && !r.Removed.IsZero() && r.Removed.Before(before) {
				if err := raise(overlay, table, r); err != nil {
					return rows, err
				}
				overlay.Delete(k)
				rows++
			}
		}
	}
	return rows, err
}

// raise makes the expired floor of a table at least a row's position.
func raise(overlay *state.Overlay, table string, r state.RowRecord) error {
	k := state.Key{Scope: state.Table, Table: table}
	b, ok, err := overlay.Get(context.Background(), k)
	if err != nil || !ok {
		return errors.Join(err, fmt.Errorf("table %s has rows and no record", table))
	}
	t, err := state.ParseTable(b)
	if err != nil {
		return err
	}
	if r.Generation == t.Generation && r.Seen.Compare(t.Expired) > 0 {
		t.Expired = r.Seen
		overlay.Put(k, t.Append(nil))
	}
	return nil
}
