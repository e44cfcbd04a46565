package processors

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// The gate stands before everything else and decides what a record may do. Its
// half by position is in the sink, where the truth about each row's last
// position is (sinks.Sink, promise 3). Its half by row is here: a record that
// cannot be applied goes to the dead-letter topic, and so do the later changes
// of its row, in order behind it.

// The caps on parked rows of one partition. Past them the partition stops: that
// many are no accident of single records.
const (
	maxParkedRows    = 10_000
	maxParkedRecords = 100_000 // of one row
)

// parked are the rows of one partition whose changes are diverted.
type parked map[[32]byte]sinks.Park

// plan is what the gate made of a batch.
type plan struct {
	batch *sinks.Batch
	items []*item // parallel to batch.Changes
	// next is parked as it is once the batch is durable.
	next parked
	// stop is set when the record behind the batch must not be passed.
	stop error
	// outcomes that are known without the sink
	filtered, faults, diverted int
	applied                    int                 // by close
	gated                      [3]int              // by verdict of the gate by row
	classes                    map[sinks.Class]int // of dead letters
}

// plan sorts items into changes, dead letters and markers. It changes nothing of
// o: a batch that is not written leaves everything as it was.
func (o *owner) plan(items []item, next int64, tries attempts) *plan {
	p := &plan{
		batch:   o.batch(next),
		classes: map[sinks.Class]int{},
	}
	p.items, p.batch.Changes = make([]*item, 0, len(items)), make([]*sinks.Change, 0, len(items))
	over := &overlay{base: o.parked}
	for i := range items {
		it := &items[i]
		if it.verdict != passes {
			p.gated[it.verdict]++
			continue
		}
		if it.filtered {
			p.filtered++
			continue
		}
		if park, ok := over.get(it); ok {
			switch {
			case !resolves(park, it):
				if o.divert(p, over, it, park, tries); p.stop == nil {
					continue
				}
			case it.pos >= park.Last:
				over.clear(it.row())
				if o.config.Control != nil {
					p.letter(o.answer(&Result{ID: park.FirstID, Outcome: VerdictResolved, Row: true, Message: "the row came whole, or was deleted"}))
				}
			default: // an older one that was delivered again: what waits is applied on top of it
			}
		}
		if it.fault != nil && p.stop == nil {
			o.reject(p, over, it, tries)
		} else if p.stop == nil {
			p.add(it)
		}
		if p.stop != nil {
			p.batch.Next = it.message.Offset
			break
		}
	}
	p.batch.Note = o.stretch.at(p.batch.Next).Note()
	p.batch.Park, p.batch.Unpark = over.changes()
	p.next = over.apply()
	return p
}

// close lets the items go, of a plan whose changes nobody refuses any more: all are
// applied.
func (p *plan) close() {
	for i, it := range p.items {
		if !it.expanded && (i == 0 || p.items[i-1] != it) {
			p.applied++
		}
	}
	p.items, p.batch.Changes, p.batch.DeadLetters = nil, nil, nil
}

// add takes over the changes of an item: one, or what the steps made of it.
func (p *plan) add(it *item) {
	p.batch.Changes = append(p.batch.Changes, it.change)
	p.items = append(p.items, it)
	if it.extra == nil {
		return
	}
	for _, c := range it.extra.more {
		p.batch.Changes = append(p.batch.Changes, c)
		p.items = append(p.items, it)
	}
}

// resolves tells whether it needs nothing that waits in the dead-letter topic: the row was
// missing when some of its columns changed, and here is all of it, or its end. Where it is
// not older than what waits, it ends the parking.
func resolves(park sinks.Park, it *item) bool {
	if park.Class != sinks.ClassMissingBase || it.change == nil || it.fault != nil {
		return false
	}
	whole := func(c *sinks.Change) bool { return c.Op == cdc.OpDelete || c.Full() }
	return whole(it.change) && (it.extra == nil || !slices.ContainsFunc(it.extra.more, func(c *sinks.Change) bool { return !whole(c) }))
}

// divert sends it to the dead-letter topic behind the record that parked its row.
func (o *owner) divert(p *plan, over *overlay, it *item, park sinks.Park, tries attempts) {
	if park.Count >= maxParkedRecords {
		p.stop = &cdc.StopError{
			What: fmt.Sprintf("a parked row has %d records in the dead-letter topic", park.Count), Pos: it.place(),
			Next: "mend the cause, then processor dlq resolve " + park.FirstID + ", and restart",
		}
		return
	}
	fault := it.fault
	if fault == nil {
		fault = &sinks.RecordError{Class: park.Class, Reason: "an earlier change of the row is in the dead-letter topic"}
	}
	park.Count++
	park.Last = max(park.Last, it.pos)
	over.set(it.row(), park)
	p.diverted++
	d := o.letter(it, fault, park.FirstID, tries)
	o.reopen(p, d.ID, false)
	p.letter(d)
	p.classes[park.Class]++
}

// reject does with a record that cannot be applied what the policy says.
func (o *owner) reject(p *plan, over *overlay, it *item, tries attempts) {
	if o.config.OnPoison == PolicyStop {
		p.stop = &cdc.StopError{
			What: "a record cannot be applied", Pos: it.place(), Err: it.fault,
			Next: "mend the cause, or set errors.on_poison to park_key or skip; then restart",
		}
		return
	}
	d := o.letter(it, it.fault, "", tries)
	parks := o.config.OnPoison == PolicyParkKey && it.keyed
	if parks {
		if over.count() >= maxParkedRows {
			p.stop = &cdc.StopError{
				What: fmt.Sprintf("%d rows of the partition are parked", over.count()), Pos: it.place(), Err: it.fault,
				Next: "processor dlq stats shows what they have in common; mend the cause, then processor dlq replay --all, and restart",
			}
			return
		}
		over.set(it.row(), sinks.Park{Key: it.row(), Class: it.fault.Class, FirstID: d.ID, Count: 1, Last: it.pos})
	}
	p.faults++
	o.reopen(p, d.ID, parks)
	p.letter(d)
	p.classes[it.fault.Class]++
}

// reopen says of a dead letter that was closed that it is open once more; with its row,
// when it parks that.
func (o *owner) reopen(p *plan, id string, row bool) {
	if o.config.Control != nil && o.orders.isClosed(id) {
		p.letter(o.answer(&Result{ID: id, Outcome: VerdictOpen, Row: row, Message: "its change came again and failed"}))
	}
}

func (p *plan) letter(d sinks.DeadLetter) { p.batch.DeadLetters = append(p.batch.DeadLetters, d) }

// step names the stage in dead letters and their ids: the step that failed, or
// what stands before the first and behind the last.
func (it *item) step() string {
	if it.extra != nil && it.extra.step != "" {
		return it.extra.step
	}
	return "sink"
}

func (o *owner) letter(it *item, fault *sinks.RecordError, behind string, tries attempts) sinks.DeadLetter {
	m := it.message
	r := sinks.Record{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Timestamp: m.Time, Key: m.Key, Value: m.Value, Headers: m.Headers}
	now := time.Now()
	if tries.first.IsZero() {
		tries.first = now
	}
	pos := it.pos
	if _, err := cdc.ParsePosition(pos); err != nil {
		pos = ""
	}
	return sinks.NewDeadLetter(r, sinks.Reason{
		Pipeline: o.config.Name, ConfigVersion: o.config.ConfigVersion, Instance: o.config.Instance,
		Step: it.step(), Sink: o.config.SinkKind, Err: fault, Attempts: tries.count, FirstFailed: tries.first, LastFailed: now,
		Position: pos, Entity: it.who(), Table: it.table, Op: it.op, TxID: number(it.txID), SchemaID: it.schemaID(), Behind: behind, Generation: o.generation,
	})
}

// schemaID is that of the record's value, as text; "" where none was read.
func (it *item) schemaID() string {
	if it.message.Value == nil {
		return ""
	}
	return number(int64(it.schema.value))
}

// number is a number as text; "" for 0, which says that it is not known.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// who is the key's text, for people: of the entity in a second stage, else of the row.
func (it *item) who() string {
	if it.extra != nil && it.extra.entity != "" {
		return it.extra.entity
	}
	return it.entity
}

// place names a record in messages.
func (it *item) place() string {
	s := fmt.Sprintf("%s offset %d", it.message.TopicPartition, it.message.Offset)
	if it.table != "" {
		s += ", table " + it.table
	}
	if it.pos != "" {
		s += ", position " + it.pos
	}
	return s
}

// overlay is parked with the changes of a batch that is not durable yet.
type overlay struct {
	base    parked
	changed map[[32]byte]*sinks.Park // nil: cleared
}

func (v *overlay) get(it *item) (sinks.Park, bool) {
	if !it.keyed {
		return sinks.Park{}, false
	}
	if p, ok := v.changed[it.row()]; ok {
		if p == nil {
			return sinks.Park{}, false
		}
		return *p, true
	}
	p, ok := v.base[it.row()]
	return p, ok
}

func (v *overlay) set(key [32]byte, p sinks.Park) {
	if v.changed == nil {
		v.changed = map[[32]byte]*sinks.Park{}
	}
	v.changed[key] = &p
}

func (v *overlay) clear(key [32]byte) {
	if v.changed == nil {
		v.changed = map[[32]byte]*sinks.Park{}
	}
	v.changed[key] = nil
}

// count is how many rows are parked.
func (v *overlay) count() int {
	n := len(v.base)
	for key, p := range v.changed {
		_, was := v.base[key]
		switch {
		case p != nil && !was:
			n++
		case p == nil && was:
			n--
		}
	}
	return n
}

func (v *overlay) changes() (set []sinks.Park, cleared [][32]byte) {
	for key, p := range v.changed {
		if p != nil {
			set = append(set, *p)
		} else if _, was := v.base[key]; was {
			cleared = append(cleared, key)
		}
	}
	return set, cleared
}

// apply is the base with the changes. It is the base itself without any.
func (v *overlay) apply() parked {
	if len(v.changed) == 0 {
		return v.base
	}
	out := make(parked, len(v.base)+len(v.changed))
	for key, p := range v.base {
		out[key] = p
	}
	for key, p := range v.changed {
		if p != nil {
			out[key] = *p
		} else {
			delete(out, key)
		}
	}
	return out
}
