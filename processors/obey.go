package processors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/sinks"
)

// ordersAtOnce is how many dead letters are applied again in one commit.
const ordersAtOnce = 200

// readAttempts is after how many tries dead letters that cannot be read are given up:
// commands must not hold the partition.
const readAttempts = 5

// obey carries out some of the commands that are due. What is not done then is done
// after the next batch.
func (o *owner) obey(ctx context.Context, tries attempts) error {
	select {
	case o.slots <- struct{}{}:
		defer func() { <-o.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	// What is in the outbox and in the topic may have been carried out by an earlier
	// owner, or by a commit without an answer.
	if err := o.drain(ctx); err != nil {
		return err
	}
	if err := o.orders.sync(ctx, o.tp.Partition); err != nil {
		return err
	}
	if t := o.task; t != nil {
		t.serial.Lock()
		defer t.serial.Unlock()
		if err := o.load(ctx); err != nil {
			return err
		}
	}
	if err := o.carryOut(ctx, tries); err != nil {
		return err
	}
	if err := o.drain(ctx); err != nil {
		return err
	}
	if o.orders.any(o.tp) {
		o.queue.poke()
	}
	return nil
}

// carryOut carries out the commands about one parked row, or some about rows that are
// not parked, in the order in which they came.
func (o *owner) carryOut(ctx context.Context, tries attempts) error {
	o.redone = nil
	due := o.orders.of(o.tp)
	if i := slices.IndexFunc(due, func(d *order) bool { return d.Do == DoSeek }); i >= 0 {
		if o.member != nil {
			return o.member.goBack(ctx, o, due[i])
		}
		return o.goBack(ctx, due[i])
	}
	var singles []*order
	for _, d := range due {
		park, ok := o.parkedBehind(d.Behind)
		if !ok {
			park, ok = o.parkedBehind(d.ID)
		}
		if ok {
			if len(singles) > 0 {
				break
			}
			return o.letGo(ctx, d, park, tries)
		}
		if singles = append(singles, d); len(singles) == ordersAtOnce {
			break
		}
	}
	if len(singles) == 0 {
		return nil
	}
	return o.again(ctx, singles, tries)
}

// parkedBehind finds the marker of the row whose first dead letter has an id.
func (o *owner) parkedBehind(id string) (sinks.Park, bool) {
	for _, p := range o.parked {
		if p.FirstID == id {
			return p, true
		}
	}
	return sinks.Park{}, false
}

// letGo applies all dead letters of a parked row in their order and clears its
// marker, in one commit; or none of them, when one fails again.
func (o *owner) letGo(ctx context.Context, d *order, park sinks.Park, tries attempts) error {
	from := d.Offset
	if park.FirstID == d.Behind {
		from = d.First
	}
	var list []*redo
	seen, once := map[int64]bool{}, map[string]bool{}
	first, size := false, 0
	err := o.config.Letters.Read(ctx, o.tp.Partition, from, -1, func(m kafka.Message) error {
		l, ok := ReadLetter(&m)
		if !ok || l.First() != park.FirstID || l.Topic != o.tp.Topic || l.Partition != o.tp.Partition || seen[l.Offset] {
			return nil
		}
		seen[l.Offset] = true
		if once[l.ID] { // delivered twice while the row was parked
			return nil
		}
		once[l.ID] = true
		first = first || l.ID == park.FirstID
		r := &redo{letter: l, message: l.Original(&m)}
		if d.Discard && l.ID == d.ID {
			r.verdict = VerdictDiscarded
		}
		if size += r.message.Size(); size > int(o.config.InFlightBytes) {
			return errTooMuch
		}
		list = append(list, r)
		return nil
	})
	switch {
	case errors.Is(err, errTooMuch):
		return o.refuseRow(ctx, d, "the row's dead letters have more bytes than limits.in_flight; raise it and restart")
	case err != nil && (tries.count < readAttempts || ctx.Err() != nil):
		return err
	case err != nil:
		return o.refuseRow(ctx, d, err.Error())
	case int64(len(seen)) < park.Count && !d.Discard && tries.count < readAttempts:
		return fmt.Errorf("%d of the row's %d dead letters are not in their topic yet", park.Count-int64(len(seen)), park.Count)
	case first && int64(len(seen)) < park.Count && !d.Discard:
		return o.refuseRow(ctx, d, fmt.Sprintf("%d of the row's %d dead letters are not in the dead-letter topic any more; --discard lets the others go without them", park.Count-int64(len(seen)), park.Count))
	case !first && !d.Discard:
		return o.refuseRow(ctx, d, fmt.Sprintf("the first dead letter of the row, %s, is not in the dead-letter topic any more; --discard lets the others go without it", park.FirstID))
	}
	rows := maps.Clone(o.parked)
	delete(rows, park.Key)
	if err := o.pass(ctx, list, rows); err != nil {
		return err
	}
	for _, r := range list {
		if r.verdict == VerdictFailed {
			return o.refuseRow(ctx, d, fmt.Sprintf("dead letter %s fails again, and the row stays parked: %s", r.letter.ID, r.reason))
		}
		if r.verdict == VerdictSuperseded && r.letter.Behind != "" {
			// It never failed: without the parked row it would have been stale, and no dead letter.
			r.verdict, r.reason = VerdictResolved, "its row has a later change"
		}
	}
	err = o.conclude(ctx, list, d, [][32]byte{park.Key})
	var refused *sinks.RefusedError
	if errors.As(err, &refused) {
		return o.refuseRow(ctx, d, fmt.Sprintf("the row's dead letters fail again, and it stays parked: %v", refused.Refusals[0].Err))
	}
	if err == nil {
		o.log.Info("a parked row goes on", "first", park.FirstID, "records", len(list))
	}
	return err
}

var errTooMuch = errors.New("too much at once")

// again applies single dead letters whose rows are not parked, each judged by what
// its row has; or closes them.
func (o *owner) again(ctx context.Context, due []*order, tries attempts) error {
	at := map[int64]*order{}
	var list []*redo
	for _, d := range due {
		if d.Do == DoResolve {
			list = append(list, &redo{letter: Letter{ID: d.ID}, order: d, verdict: VerdictClosed})
		} else {
			at[d.Offset] = d
		}
	}
	found := map[string]bool{}
	err := o.config.Letters.At(ctx, o.tp.Partition, slices.Sorted(maps.Keys(at)), func(m kafka.Message) error {
		l, ok := ReadLetter(&m)
		d := at[m.Offset]
		if !ok || d == nil || l.ID != d.ID || l.Topic != o.tp.Topic || l.Partition != o.tp.Partition {
			return nil
		}
		found[d.ID] = true
		list = append(list, &redo{letter: l, message: l.Original(&m), order: d})
		return nil
	})
	if err != nil && (tries.count < readAttempts || ctx.Err() != nil) {
		return err
	}
	for _, d := range at {
		if !found[d.ID] {
			r := &redo{letter: Letter{ID: d.ID}, order: d, verdict: VerdictFailed, reason: fmt.Sprintf("it is not in the dead-letter topic at partition %d offset %d any more", d.Partition, d.Offset)}
			if err != nil {
				r.reason = err.Error()
			}
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b *redo) int { return cmp.Compare(a.letter.Offset, b.letter.Offset) })
	for {
		if err := o.pass(ctx, list, nil); err != nil {
			return err
		}
		err := o.conclude(ctx, list, nil, nil)
		var refused *sinks.RefusedError
		if !errors.As(err, &refused) {
			return err
		}
		for _, r := range list { // each round has fewer that are not decided
			if r.verdict == VerdictApplied {
				r.verdict = ""
			}
		}
		for index, fault := range refused.Refusals {
			r := o.owning(list, refused.Refusals[index].Index)
			r.verdict, r.reason = VerdictFailed, fault.Err.Error()
		}
	}
}
