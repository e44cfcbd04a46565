package processors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// round is what one transaction makes durable.
//
// It is made in chunks: while the brokers take the records of one, the next is decoded.
// So the transaction is open while messages are prepared, and what holds them up must not
// keep it open: from the second chunk on, preparing has openWithin. What is complete is
// committed then, and the rest comes again as the first of a round.
type round struct {
	parts   []*part
	tasks   map[*task]*state.Overlay
	records []kafka.Message // that are not sent yet
	of      []source        // of all records, in the order in which they are sent
	open    bool            // the transaction is
	started time.Time
	spare   map[*task]*state.Overlay // of the round before, for their room
}

// part is a round's share of one partition.
type part struct {
	owner    *owner
	plan     *plan           // of the chunk under way
	messages []kafka.Message // of the chunk under way
	count    int             // messages of all chunks
	next     int64
	control  bool     // nothing but ends of transactions
	plans    []*plan  // of the chunks that are done, without their items
	judged   []judged // of the same
	parked   parked   // as they were before; nil: no chunk is done
	stop     error    // why the message behind them must not be passed
	jump     bool     // they are the last of the stretch: next is where the partition was
}

// stretch is what the partition goes through once the round is durable.
func (p *part) stretch() *Stretch {
	if p.jump {
		return nil
	}
	return p.owner.stretch.at(p.next)
}

// source says which message a record of the round comes from; nil: none alone.
type source struct {
	part    *part
	message *kafka.Message
}

// messages is how many the round has.
func (rd *round) messages() int {
	n := 0
	for _, p := range rd.parts {
		n += p.count
	}
	return n
}

// overlay is where the round writes the state of a task.
func (rd *round) overlay(t *task) *state.Overlay {
	o := rd.tasks[t]
	if o == nil {
		if o = rd.spare[t]; o != nil {
			o.Reset(t.replica.Memory)
		} else {
			o = state.NewOverlay(t.replica.Memory)
		}
		rd.tasks[t] = o
	}
	return o
}

// prepare takes messages of a partition into the round, chunk by chunk. An error is
// about the first chunk, or a *lostSession; behind a chunk that is complete, the part
// stops at it.
func (m *member) prepare(ctx context.Context, rd *round, o *owner, messages []kafka.Message) (*part, error) {
	messages = o.fresh(messages)
	over := len(messages) > 0 && o.stretch.over(messages[len(messages)-1].Offset)
	messages = o.stretch.within(messages)
	p := &part{owner: o, next: o.position(), control: len(messages) > 0}
	for len(messages) > 0 && p.stop == nil {
		n := min(len(messages), m.runtime.config.BatchRows)
		if err := m.chunk(ctx, rd, p, messages[:n]); err != nil {
			if p.plans == nil {
				return nil, err
			}
			if ctx.Err() == nil { // else nothing comes behind
				p.stop = err
			}
			break
		}
		if messages = messages[n:]; len(messages) > 0 && p.stop == nil {
			if err := m.ship(ctx, rd); err != nil {
				return nil, &lostSession{err}
			}
		}
	}
	p.leap(over && p.stop == nil)
	return p, nil
}

// openWithin is how long a chunk may take to prepare while the transaction is open.
const openWithin = time.Second

// chunk decodes messages of a partition, takes them through gate, steps and plan, and
// makes records of them. What fails leaves no trace.
func (m *member) chunk(ctx context.Context, rd *round, p *part, messages []kafka.Message) error {
	if rd.open {
		bounded, cancel := context.WithTimeout(ctx, openWithin)
		defer cancel()
		ctx = bounded
	}
	o, overlay, next := p.owner, rd.overlay(p.owner.task), p.next
	p.messages = messages
	mark, records, of := overlay.Mark(), len(rd.records), len(rd.of)
	for again := true; again; {
		var err error
		overlay.Rollback(mark)
		rd.records, rd.of = rd.records[:records], rd.of[:of]
		if again, err = m.fill(ctx, rd, p, overlay); err != nil {
			overlay.Rollback(mark)
			rd.records, rd.of = rd.records[:records], rd.of[:of]
			p.next = next
			return err
		}
	}
	if p.plans == nil {
		p.parked = o.parked
	}
	o.parked = p.plan.next // the next chunk stands behind this one; rewound takes it back
	p.plan.close()
	p.plans, p.count = append(p.plans, p.plan), p.count+len(p.messages)
	o.decoder.letGo()
	return nil
}

// leap lets the part end where the partition was, when it is the last of a stretch.
func (p *part) leap(over bool) {
	s := p.owner.stretch
	if over || p.stop == nil && s.over(p.next) {
		p.next, p.jump = s.Then, true
	}
}

// fill makes the records of a part. again says that a record was found to be faulty,
// and that all of it has to be done anew without it.
func (m *member) fill(ctx context.Context, rd *round, p *part, overlay *state.Overlay) (again bool, err error) {
	o := p.owner
	p.next = p.messages[len(p.messages)-1].Offset + 1
	items, err := o.admit(ctx, p.messages, overlay)
	if err != nil {
		return false, err
	}
	judged := o.faults.judge(o.tp.Topic, o.parked, items)
	if judged.err != nil {
		return false, judged.err
	}
	p.plan = o.plan(items, p.next, attempts{count: o.tries.count + 1, first: o.tries.first})
	if p.plan.stop != nil { // what stands behind has left its traces in the state: anew, without it
		if p.messages = before(p.messages, p.plan.batch.Next); len(p.messages) == 0 {
			return false, p.plan.stop
		}
		p.stop = p.plan.stop
		return true, nil
	}
	refused, err := m.encode(ctx, rd, p)
	if err != nil {
		return false, err
	}
	if refused != nil { // what the steps gave has no form as a record
		o.blamed[refused.message.Offset] = refused.fault
		return true, nil
	}
	o.mark(p.plan, overlay)
	if err := m.letters(ctx, rd, p); err != nil {
		return false, err
	}
	p.control, p.judged = p.control && len(items) == 0, append(p.judged, judged)
	return false, nil
}

// before are the messages that stand before an offset.
func before(messages []kafka.Message, offset int64) []kafka.Message {
	for i := range messages {
		if messages[i].Offset >= offset {
			return messages[:i]
		}
	}
	return messages
}

// encode makes the records of a plan's changes.
func (m *member) encode(ctx context.Context, rd *round, p *part) (*item, error) {
	in := sinks.Source{Record: &sinks.Record{}, Partitions: p.owner.of}
	var last *item
	for i, c := range p.plan.batch.Changes {
		it := p.plan.items[i]
		if it != last {
			last = it
			recordOf(in.Record, it.message)
			in.Snapshot, in.LSN, in.TxID, in.Time = it.extra.source.Snapshot, it.extra.source.LSN, it.extra.source.TxID, it.extra.source.Time
		}
		if c.Floor != nil {
			continue // it has become a delete of each of its rows
		}
		if it.extra.handed != nil {
			for j := range it.extra.handed {
				rd.add(it.extra.handed[j].record(it, p.owner.entities, m.runtime.entityPartitions.Load(), p.owner.generation), source{p, it.message})
			}
			continue
		}
		var err error
		m.records, err = m.outputs.Append(ctx, m.records[:0], c, &in)
		var fault *sinks.RecordError
		if errors.As(err, &fault) {
			it.fault = fault
			return it, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", it.place(), err)
		}
		for j := range m.records {
			rd.add(messageOf(&m.records[j]), source{p, it.message})
		}
	}
	return nil, nil
}

// store makes the round store the offset of a partition, also if it has no messages of it.
func (rd *round) store(o *owner) {
	if !slices.ContainsFunc(rd.parts, func(p *part) bool { return p.owner == o }) {
		rd.parts = append(rd.parts, &part{owner: o, next: o.position()})
	}
}

func (rd *round) add(m kafka.Message, from source) {
	rd.records = append(rd.records, m)
	rd.of = append(rd.of, from)
}

// letters adds a plan's dead letters.
func (m *member) letters(ctx context.Context, rd *round, p *part) error {
	var letters, answers []kafka.Message
	for _, letter := range messagesOf(p.plan.batch.DeadLetters) {
		if header(&letter, headerResult) == "" {
			letters = append(letters, letter)
		} else {
			answers = append(answers, letter)
		}
	}
	if err := m.answers(ctx, rd, answers); err != nil || len(letters) == 0 {
		return err
	}
	topic, err := m.runtime.config.InLog.Letters.Ready(ctx, m.runtime.topics(), letters)
	if err != nil {
		return err
	}
	for _, letter := range letters {
		letter.Topic = topic
		rd.add(letter, source{})
	}
	return nil
}

// answers adds results of commands, which go to the control topic.
func (m *member) answers(ctx context.Context, rd *round, answers []kafka.Message) error {
	if len(answers) == 0 {
		return nil
	}
	topic, err := m.runtime.config.Control.Ready(ctx, m.runtime.topics(), answers)
	if err != nil {
		return err
	}
	for _, a := range answers {
		a.Topic, a.Headers = topic, nil
		rd.add(a, source{})
	}
	return nil
}

func recordOf(r *sinks.Record, m *kafka.Message) {
	r.Topic, r.Partition, r.Offset, r.Timestamp, r.Key, r.Value = m.Topic, m.Partition, m.Offset, m.Time, m.Key, m.Value
	r.Headers = m.Headers
}

func messageOf(r *sinks.Record) kafka.Message {
	return kafka.Message{TopicPartition: kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}, Time: r.Timestamp, Key: r.Key, Value: r.Value, Headers: r.Headers}
}
