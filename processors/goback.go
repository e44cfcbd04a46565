package processors

// Going back: a partition is set to an earlier offset, and what stands there is applied
// again. The pipeline's generation is raised with it, so that everything from there on
// overwrites what was applied before; or it stays, and the gate lets through only what
// is missing.
//
// Offset, generation and the note of the stretch are one thing: the offset row of the
// sink, or the group's offset with its metadata, moved in one transaction. So at every
// moment a partition is either where it was, in the old generation, or set back in the
// new one, and a crash cannot leave anything between:
//
//	killed after                     the partition             then
//	(nobody owns it: processor replay sets all partitions at once)
//	before COMMIT                    where it was              the command again
//	COMMIT, before the group has     set back                  whoever claims it begins there; the group's offset follows
//	the offset
//	a zombie's COMMIT after it       fenced: epoch, offset     the zombie stops
//	(an owner is asked to, --live)
//	the command was written          due                       whoever owns the partition carries it out
//	writes, before COMMIT            where it was, due         carried out
//	COMMIT, before the reading       set back, result in the   the next owner begins at the offset row, and takes
//	goes on there                    outbox                    the result to the topic before it looks at commands
//	the result in the topic          set back                  –
//	(a stretch has an end)
//	its last batch, before the jump  at the end of the stretch the next owner jumps: the note tells
//	the jump                         where it was, no note     –

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// Stretch is what a partition that was set back goes through again. Its JSON is the note
// beside the offset, until the partition is where it was.
type Stretch struct {
	Version int    `json:"v"`  // 1
	ID      string `json:"id"` // of the replay
	From    int64  `json:"from"`
	Then    int64  `json:"then"` // where the partition was
	// Of a stretch with an end: the offset behind it, and the first position that is not
	// part of it. What a row has from there on, it keeps.
	End   int64  `json:"end,omitempty"`
	Until string `json:"until,omitempty"`
	// Missing: only what rows do not have is applied, whichever generation it is from
	// that they have something.
	Missing bool `json:"missing,omitempty"`
}

// Note is the stretch as a note; "" for none.
func (s *Stretch) Note() string {
	if s == nil {
		return ""
	}
	return string(mustJSON(s))
}

// ParseStretch reads a note.
func ParseStretch(note string) (*Stretch, error) {
	if note == "" {
		return nil, nil
	}
	s := &Stretch{}
	if err := json.Unmarshal([]byte(note), s); err != nil || s.Version != 1 || s.Until != "" && s.until() == nil {
		return nil, &cdc.StopError{What: fmt.Sprintf("the note beside the offset cannot be read: %.100q", note), Err: err, Next: "another program, or a later version, wrote it"}
	}
	return s, nil
}

// at is the stretch as it is once a partition is at an offset.
func (s *Stretch) at(next int64) *Stretch {
	if s == nil || s.Until == "" && next >= s.Then || next < s.From {
		return nil
	}
	return s
}

// ends tells whether the stretch has an end.
func (s *Stretch) ends() bool { return s != nil && s.Until != "" }

// over tells whether a partition at an offset has to jump.
func (s *Stretch) over(next int64) bool { return s.ends() && next >= s.End }

// within are the messages that stand before the end of the stretch.
func (s *Stretch) within(messages []kafka.Message) []kafka.Message {
	if !s.ends() {
		return messages
	}
	return before(messages, s.End)
}

// until is where the stretch ends, for the gate; nil: it has no end.
func (s *Stretch) until() *state.Place {
	if !s.ends() {
		return nil
	}
	at, err := state.ParsePlace(s.Until)
	if err != nil {
		return nil // ParseStretch has checked it
	}
	return &at
}

// batch is an empty batch of the partition.
func (o *owner) batch(next int64) *sinks.Batch {
	return &sinks.Batch{Claim: o.claim, Expect: o.expect, Next: next, Generation: o.generation, Note: o.stretch.at(next).Note()}
}

// keep lets rows keep what they have from the end of the stretch on: their changes are
// taken out of the plan, as stale. A change of a whole table ends all rows of the older
// generations, wherever they stand: then the stretch has no end any more, and those come
// again.
func (o *owner) keep(ctx context.Context, p *plan) error {
	s := o.stretch
	missing := s != nil && s.Missing && o.generation > 1 // in the first, the sink itself compares
	if !s.ends() && !missing || len(p.batch.Changes) == 0 {
		return nil
	}
	if s.ends() && slices.ContainsFunc(p.batch.Changes, func(c *sinks.Change) bool { return c.Floor != nil }) {
		s = s.open()
		if p.batch.Note = s.at(p.batch.Next).Note(); !missing {
			return nil
		}
	}
	look, ok := o.config.Sink.(sinks.Inspector)
	if !ok {
		return nil
	}
	versions, err := look.Inspect(ctx, o.claim.Partition, p.batch.Changes)
	if err != nil {
		return err
	}
	changes, items := p.batch.Changes[:0:0], p.items[:0:0]
	for i, v := range versions {
		if v.Pos != "" && v.Generation < p.batch.Generation && (s.ends() && v.Pos >= s.Until || missing && v.Pos >= p.batch.Changes[i].Pos) {
			continue
		}
		changes, items = append(changes, p.batch.Changes[i]), append(items, p.items[i])
	}
	left := map[*item]bool{}
	for _, it := range items {
		left[it] = true
	}
	for i, it := range p.items {
		if (i == 0 || p.items[i-1] != it) && !left[it] {
			p.gated[stale]++
		}
	}
	p.batch.Changes, p.items = changes, items
	return nil
}

// open is the stretch without an end.
func (s *Stretch) open() *Stretch {
	made := *s
	made.Until, made.End = "", 0
	return &made
}

// after is the stretch once a batch is durable.
func (s *Stretch) after(b *sinks.Batch) *Stretch {
	if s.ends() && slices.ContainsFunc(b.Changes, func(c *sinks.Change) bool { return c.Floor != nil }) {
		s = s.open()
	}
	return s.at(b.Next)
}

// jump sets a partition that is at the end of its stretch to where it was before.
func (o *owner) jump(ctx context.Context) error {
	if o.stretch == nil {
		return nil
	}
	b := o.batch(o.stretch.Then)
	b.Note = ""
	if _, err := o.write(ctx, b); err != nil {
		return err
	}
	o.log.Info("went through the stretch, and goes on where it was", "replay", o.stretch.ID, "offset", b.Next)
	o.goOn(b)
	return nil
}

// goOn lets memory follow a batch that has set the partition to another offset.
func (o *owner) goOn(b *sinks.Batch) {
	o.expect, o.generation = b.Next, b.Generation
	o.stretch, _ = ParseStretch(b.Note) // it was made here
	o.passed(b.Next)
	o.settles()
	o.reposition(o)
}

// StillOverwriting says why only what is missing cannot be applied: the rest of the stretch
// under way would be taken for what the rows have.
const StillOverwriting = "the partition still goes through a stretch in a new generation, which is to be overwritten"

// refused says why a command to go back cannot be carried out; "": it can.
func (o *owner) refused(d *order) string {
	switch {
	case o.config.Stateful && d.Generation > 0:
		return "the pipeline has state of many rows, whose partitions go back together: stop it, and give the command without --live"
	case o.stretch.ends() && d.Until != "":
		return "the partition still goes through a stretch that has an end"
	case d.Generation == 0 && o.stretch.at(o.position()) != nil && !o.stretch.Missing:
		return StillOverwriting
	}
	return ""
}

// seek is the batch that carries out a command to go back. A partition is never set to
// what it has not read yet.
func (o *owner) seek(d *order) *sinks.Batch {
	b := o.batch(min(d.Next, o.expect))
	if d.Generation > 0 {
		b.Generation = max(d.Generation, o.generation+1)
	}
	s := &Stretch{Version: 1, ID: d.ID, From: b.Next, Then: o.expect, Missing: d.Generation == 0}
	if o.stretch != nil && d.Until == "" {
		s.Then = max(s.Then, o.stretch.Then)
	}
	if d.Until != "" { // and then on from here: an earlier stretch without an end is not left out
		s.Until, s.End = d.Until, min(max(d.End, b.Next), s.Then)
	}
	b.Note = s.at(b.Next).Note()
	for key, park := range o.parked {
		if slices.Contains(d.Unpark, park.FirstID) {
			b.Unpark = append(b.Unpark, key)
		}
	}
	return b
}

// goBack carries out a command that sets the partition back.
func (o *owner) goBack(ctx context.Context, d *order) error {
	if why := o.refused(d); why != "" {
		return o.refuse(ctx, d, why)
	}
	b := o.seek(d)
	answer := func(r *Result) { b.DeadLetters = append(b.DeadLetters, o.answer(r)) }
	for _, key := range b.Unpark {
		answer(&Result{ID: o.parked[key].FirstID, Outcome: VerdictResolved, Row: true, Message: beforeIt})
	}
	answer(&Result{ID: d.ID, Command: d.Command.Command, Outcome: VerdictSetBack, Message: fmt.Sprintf("from offset %d to %d, generation %d", o.expect, b.Next, b.Generation)})
	if _, err := o.write(ctx, b); err != nil {
		return err
	}
	o.backlog = true
	for _, key := range b.Unpark {
		delete(o.parked, key)
	}
	o.mu.Lock()
	o.parkedRows = len(o.parked)
	o.mu.Unlock()
	o.log.Info("set back", "replay", d.ID, "from", o.expect, "offset", b.Next, "generation", b.Generation)
	o.goOn(b)
	return nil
}

// beforeIt is what is said of a dead letter whose record comes again.
const beforeIt = "the pipeline was set back to before it"

// SetBackResult closes the first dead letter of a row, and all behind it, because their
// records come again.
func SetBackResult(id string, tp kafka.TopicPartition) kafka.Message {
	r := &Result{Version: 1, ID: id, Outcome: VerdictResolved, Row: true, Message: beforeIt, At: time.Now().UTC()}
	return kafka.Message{TopicPartition: kafka.TopicPartition{Partition: tp.Partition}, Key: []byte(resultKey + id), Value: mustJSON(r)}
}

// ReadMetadata is what a pipeline between topics keeps beside the group's offsets.
func ReadMetadata(metadata string) (generation int64, s *Stretch) {
	var known stored
	if json.Unmarshal([]byte(metadata), &known) != nil || known.Version != 1 {
		return 1, nil
	}
	return max(known.Generation, 1), known.Stretch
}

// SetMetadata is metadata with another generation and stretch.
func SetMetadata(metadata string, generation int64, s *Stretch) string {
	var known stored
	if json.Unmarshal([]byte(metadata), &known) != nil || known.Version != 1 {
		known = stored{}
	}
	known.Version, known.Generation, known.Stretch = 1, generation, s
	return string(mustJSON(known))
}
