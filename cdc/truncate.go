package cdc

import "context"

// truncate takes a TRUNCATE in, which is one change for each of its relations.
//
// A reader of one partition has no order between it and another partition. One
// copy in one of them would be applied before or after rows of the others that it
// does not belong between, so every partition of the table's topic gets one, with
// one position. Debezium writes a single one, which is safe for topics of one
// partition only.
func (r *Relay) truncate(ctx context.Context, ev *Event) error {
	for _, relation := range ev.Relations {
		if repeated, err := r.repeated('T', ev); err != nil {
			return err
		} else if repeated {
			continue
		}
		if err := r.truncated(ctx, ev, relation); err != nil {
			return err
		}
		r.tracker.Change('T', ev.Relation, ev.LSN)
	}
	return nil
}

func (r *Relay) truncated(ctx context.Context, ev *Event, relation uint32) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if !r.Config.Truncates {
		r.Observer.Filtered("truncate", 1)
		return r.touched(ctx, ev.Read)
	}
	rt, err := r.routeOf(ctx, relation, ev.LSN)
	if err != nil {
		return err
	}
	if rt.filtered {
		rt.tally.table++
		return r.touched(ctx, ev.Read)
	}
	if r.Config.CountOnly {
		rt.tally.count(OpTruncate)
		return nil
	}
	r.env = Envelope{Tx: ev.Tx, LSN: ev.LSN, LastCommit: r.last, Now: ev.Read, XMin: r.xmin()}
	pos := Position{Epoch: r.epoch, LSN: ev.Tx.CommitLSN, Ordinal: r.tracker.ordinal + 1}
	_, err = r.encode(ctx, rt, pos, ev.Read, &change{op: OpTruncate})
	return err
}

// truncateRecords appends the copies of one truncate: one event.
func (r *Relay) truncateRecords(rt *route, pos Position) error {
	written, err := r.event(rt, pos, OpTruncate, nil, nil, nil, nil, WholeRow)
	if err != nil || !written || r.Config.Debezium {
		return err
	}
	b := r.batch
	first := b.Records[len(b.Records)-1]
	for p := range rt.partitions {
		if p == first.Partition {
			continue
		}
		// The copies share the bytes of the first: the arena is only read from here on.
		rec := first
		rec.Partition = p
		b.Records = append(b.Records, rec)
	}
	return nil
}
