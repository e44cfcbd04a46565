package cdc

import (
	"context"
	"errors"
	"fmt"
)

// change is one change on its way into records.
type change struct {
	op       Op
	old, row []Value // as the source gave them; nil: the WAL carries none
	full     bool    // old is the complete row

	before, after []Value // old and row as they are published
}

// row publishes one change of a row, or skips what an earlier run has published.
func (r *Relay) row(ctx context.Context, ev *Event) error {
	if repeated, err := r.repeated(byte(ev.Op), ev); repeated || err != nil {
		return err
	}
	rt, err := r.routeOf(ctx, ev.Relation, ev.LSN)
	if err != nil {
		return err
	}
	if n := len(rt.source.Columns); ev.New != nil && len(ev.New) != n || ev.Old != nil && len(ev.Old) != n {
		return &StopError{What: fmt.Sprintf("a row has another number of columns than its RELATION message (%d)", n),
			Pos: ev.LSN.String() + " of " + rt.source.String(), Next: "report this with the server's version; restarting the relay reads the transaction again"}
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if rt.filtered {
		rt.tally.table++
		err = r.touched(ctx, ev.Read)
	} else if r.Config.CountOnly {
		rt.tally.count(ev.Op)
	} else if ev.Long != nil {
		err = r.long(ctx, rt, ev)
	} else {
		err = r.publish(ctx, rt, ev)
	}
	if err != nil {
		return err
	}
	r.tracker.Change(byte(ev.Op), ev.Relation, ev.LSN)
	return nil
}

// publish encodes one change of the stream into the batch: one record, or two
// for a delete, or three for a key change. It is all or nothing: on an error
// nothing of the change is in the batch.
func (r *Relay) publish(ctx context.Context, rt *route, ev *Event) error {
	pos := Position{Epoch: r.epoch, LSN: ev.Tx.CommitLSN, Ordinal: r.tracker.ordinal + 1}
	if ev.Old != nil && !ev.OldFull {
		for i := range rt.source.Columns {
			if !rt.source.Columns[i].Replicated {
				ev.Old[i] = Value{State: Absent}
			}
		}
	}
	if ev.New != nil && ev.Old != nil {
		FillUnchanged(ev.New, ev.Old)
	}
	c := change{op: ev.Op, old: ev.Old, row: ev.New, full: ev.OldFull}
	r.env = Envelope{Op: ev.Op, Tx: ev.Tx, LSN: ev.LSN, LastCommit: r.last, Now: ev.Read, XMin: r.xmin()}
	if rt.filter != nil {
		admitted, err := rt.admit(ev)
		if err != nil {
			return r.unfiltered(ctx, rt, pos, &c, err)
		}
		if admitted == 0 {
			rt.tally.row++
			return r.touched(ctx, ev.Read)
		}
		c.become(admitted, ev, rt)
	}
	_, err := r.encode(ctx, rt, pos, ev.Read, &c)
	return err
}

// become turns a change into what the row filter makes of it.
func (c *change) become(op Op, ev *Event, rt *route) {
	switch {
	case op == ev.Op:
		return
	case op == OpCreate:
		c.old = nil
	case op == OpDelete:
		if ev.Op == OpUpdate && !c.full {
			c.old = rt.identified(ev.Old, ev.New)
		}
		c.row = nil
	}
	c.op = op
}

// identified is what an update tells of the old row: the values that the WAL
// carries, and the key columns that it does not carry because they are as before.
func (rt *route) identified(old, row []Value) []Value {
	rt.known = append(rt.known[:0], old...)
	if old == nil {
		for range row {
			rt.known = append(rt.known, Value{State: Absent})
		}
	}
	for _, i := range rt.table.Key {
		if at := rt.sourceColumn(i); rt.known[at].State == Absent {
			rt.known[at] = row[at]
		}
	}
	return rt.known
}

// unfiltered is what becomes of a change that the row filter cannot judge, such
// as one whose value the WAL does not carry: it is no use to guess.
func (r *Relay) unfiltered(ctx context.Context, rt *route, pos Position, c *change, err error) error {
	var value *ValueError
	if errors.As(err, &value) && r.Config.DeadLetter != "" {
		c.fit(rt)
		return r.deadLetter(ctx, rt, pos, c, value)
	}
	return &StopError{What: "the row filter cannot judge a change", Pos: pos.String() + " of " + rt.source.String(), Err: err,
		Next: "correct tables.overrides.where, or give the table REPLICA IDENTITY FULL"}
}

// fit shapes the change's rows for a route.
func (c *change) fit(rt *route) {
	c.before, c.after = c.old, c.row
	if s := rt.shape; s != nil {
		c.before, c.after = s.apply(&s.before, rt.source, c.old), s.apply(&s.after, rt.source, c.row)
	}
}

// encode writes the records of one change and settles what can be wrong with its
// values: facts that the row contradicts are read again, a value without a form
// sends the change to the dead letters. It returns the route that the change went
// by.
func (r *Relay) encode(ctx context.Context, rt *route, pos Position, read int64, c *change) (*route, error) {
	asked := false
	for try := 0; ; try++ {
		c.fit(rt)
		if refused := rt.refused; refused != nil {
			return rt, r.deadLetter(ctx, rt, pos, c, unaccepted(refused))
		}
		if err := r.room(ctx, read); err != nil {
			return rt, err
		}
		b := r.batch
		bytes, records, tally, begun, adopted := len(b.Buf), len(b.Records), rt.tally, r.meta.begun, r.adopted
		r.opening()
		err := r.write(rt, pos, c)
		if err == nil {
			r.open.records += len(b.Records) - records
			r.meta.settle(&rt.counter)
			if rt.shape.removes() {
				rt.tally.column++
			}
			return rt, nil
		}
		b.Buf, b.Records, rt.tally, r.meta.begun, r.meta.pending = b.Buf[:bytes], b.Records[:records], tally, begun, 0
		if r.adopted != adopted {
			r.adopt(adopted)
		}
		var fact *FactError
		var value *ValueError
		var oversize *oversizeError
		switch {
		case errors.As(err, &oversize):
			if cap(b.Buf) > 2*r.Config.Limits.BatchBytes {
				b.Buf = append(make([]byte, 0, r.Config.Limits.BatchBytes), b.Buf...) // the row may have made it long
			}
			return rt, r.oversize(ctx, rt, pos, c)
		case errors.As(err, &fact) && try < 2*len(rt.table.Columns)+2:
			// A label that is new may be in the catalog by now; it is asked once.
			ask := fact.Fact == FactEnumLabel && !asked && c.op != OpRead
			asked = asked || ask
			column := rt.table.Columns[fact.Column].Name
			next, err := r.contradicted(ctx, rt, fact, ask)
			var refused *RefusedError
			if errors.As(err, &refused) && r.Config.DeadLetter != "" && (fact.Text != nil || !Stopped(err)) {
				// One row's form must not end the stream of all tables.
				return rt, r.deadLetter(ctx, rt, pos, c, &ValueError{Column: column,
					Reason: "the registry does not take the schema that this value needs: " + refused.Err.Error()})
			}
			if err != nil {
				return rt, err
			}
			rt = next
		case errors.As(err, &value) && r.Config.DeadLetter != "":
			return rt, r.deadLetter(ctx, rt, pos, c, value)
		default:
			return rt, &StopError{What: "a change cannot be encoded", Pos: pos.String() + " of " + rt.table.String(), Err: err,
				Next: "mend the row at the source, or choose format.nonfinite or another format for this column"}
		}
	}
}

// unaccepted says why the rows of a refused table version are dead letters.
func unaccepted(refused *RefusedError) *ValueError {
	v := &ValueError{Column: refused.Column, Reason: "the registry refuses the schema of subject " + refused.Subject + ": " + refused.Err.Error()}
	if v.Column == "" {
		v.Column = "*"
	}
	return v
}

// room makes sure that there is a batch, and a new one when the last is full.
func (r *Relay) room(ctx context.Context, read int64) error {
	if r.batch != nil && len(r.batch.Buf) >= r.Config.Limits.BatchBytes {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	if r.batch == nil {
		b, err := r.Log.Batch(ctx)
		if err != nil {
			return err
		}
		r.batch = b
	}
	if r.open.records == 0 {
		r.open.since = read
	}
	return nil
}
