package cdc

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// OurMessages begins the prefixes of logical messages that are the relay's own.
// They are never published.
const OurMessages = "tailrace."

// HeartbeatPrefix is the prefix of the message that probes the whole line. Its
// content is when it was sent: nanoseconds since 1970, in decimal digits. Any
// login may write one (pg_logical_emit_message is executable by PUBLIC), so it
// moves a metric and nothing else.
const HeartbeatPrefix = OurMessages + "heartbeat"

// MessageTopic is where logical messages go.
func MessageTopic(name string) string { return name + ".message" }

// messages is what the loop keeps for logical messages (pg_logical_emit_message).
//
// A transactional message is a change of its transaction: it has an ordinal,
// whether it is published or not, and is skipped after a restart with the prefix
// that it stands in. A message outside of transactions has none of that, though
// it may be written inside of one:
//
//   - The server sends it when decoding comes to it: before the transaction that
//     wrote it, also when that one is rolled back, and never between a BEGIN and
//     its COMMIT, since those come together when decoding reaches the COMMIT. So
//     the stream is in the order of the WAL, where a transaction stands at its
//     commit record and a message at its own.
//   - Its LSN is the end of its record, and every record that starts before that
//     has been decoded: the LSN can be confirmed like the end of a COMMIT, and
//     progress.confirmed moves to it in the same Kafka transaction as the record.
//   - A server that begins again sends it if its record starts at or after the
//     confirmed LSN (SnapBuildXactNeedsSkip). If the confirmed LSN is its own, or
//     later, it does not come again. If the slot lags behind progress, it comes
//     again and ends at or before progress.confirmed: that is how it is recognised.
//     One that was not durable ends after progress.confirmed: whatever moved that
//     (a COMMIT's end, a keepalive, another message) stands before it in the WAL,
//     so at most at its start.
//
// Killed before the Kafka transaction ended: it is read again, and neither its
// record nor the progress exists. Killed after: skipped. Inside of a transaction
// that is published in part no such message comes, so the two cannot mix.
type messages struct {
	plan       MessagePlan
	partitions int32
	counter    counter
	published  int         // since the last report
	tx         Transaction // stands for that of a message outside of transactions
	seen       int64       // commit time of the last transaction that came, microseconds
}

// message takes a logical message in.
func (r *Relay) message(ctx context.Context, ev *Event) error {
	if ev.Tx == nil {
		return r.lone(ctx, ev)
	}
	if repeated, err := r.repeated('M', ev); repeated || err != nil {
		return err
	}
	if r.wanted(ev) {
		pos := Position{Epoch: r.epoch, LSN: ev.Tx.CommitLSN, Ordinal: r.tracker.ordinal + 1}
		if err := r.publishMessage(ctx, ev, ev.Tx, pos); err != nil {
			return err
		}
	} else if !strings.HasPrefix(ev.Prefix, OurMessages) {
		if err := r.prepare(ctx); err != nil {
			return err
		}
		if err := r.touched(ctx, ev.Read); err != nil {
			return err
		}
	}
	r.tracker.Change('M', ev.Relation, ev.LSN)
	return nil
}

// lone takes a message in that stands outside of transactions.
func (r *Relay) lone(ctx context.Context, ev *Event) error {
	if err := r.skip.passed(ev.LSN); err != nil {
		return err
	}
	if ev.LSN <= r.tracker.next.Confirmed {
		return nil // durable since an earlier run
	}
	if r.Config.Debezium {
		r.last = ev.LSN
	}
	if ev.LSN <= r.skip.from {
		r.tracker.Message(ev.LSN, r.Config.Debezium)
		return nil
	}
	if r.wanted(ev) {
		m := &r.messages
		// The WAL has no time for it.
		m.tx = Transaction{CommitTime: ev.Read / 1000}
		if r.Config.Debezium {
			m.tx.CommitTime = m.seen
		}
		if err := r.publishMessage(ctx, ev, &m.tx, lonePosition(r.epoch, ev.LSN)); err != nil {
			return err
		}
	}
	r.tracker.Message(ev.LSN, r.Config.Debezium)
	return nil
}

// lonePosition is the position of a message outside of transactions whose record
// ends at an LSN: that of the record's last byte, with ordinal 1.
//
// The end itself will not do. It is where the next record starts, and that can be
// the commit record of the transaction which wrote the message:
//
//	BEGIN; SELECT pg_logical_emit_message(true, 'p', 'a'), pg_logical_emit_message(false, 'p', 'b'); COMMIT
//
// Here the end of b is the commit LSN of a, so both would have one position in
// one topic, and a reader that goes by positions would drop the second. No record
// starts inside of another, so the last byte's LSN is nobody else's, comes after
// the commit LSN of everything that was sent before and before that of everything
// that is sent later.
func lonePosition(epoch uint32, end LSN) Position {
	return Position{Epoch: epoch, LSN: end - 1, Ordinal: 1}
}

// wanted tells whether a message is published; a message that is not is counted,
// or noted as a probe that came through.
func (r *Relay) wanted(ev *Event) bool {
	if ev.Prefix == HeartbeatPrefix {
		if sent, err := strconv.ParseInt(string(ev.Content), 10, 64); err == nil {
			r.open.probes = append(r.open.probes, time.Unix(0, sent))
			r.open.noted = true // it tells something once it is durable, so it does not wait for company
		}
		return false
	}
	if strings.HasPrefix(ev.Prefix, OurMessages) || r.Config.Messages == nil || !r.Config.Messages(ev.Prefix) {
		r.Observer.Filtered("message", 1)
		return false
	}
	return true
}

// publishMessage appends the record of a message.
func (r *Relay) publishMessage(ctx context.Context, ev *Event, tx *Transaction, pos Position) error {
	m := &r.messages
	if r.Config.CountOnly {
		m.published++
		return nil
	}
	topic := MessageTopic(r.Config.Name)
	if m.plan == nil {
		if err := r.commit(ctx); err != nil {
			return err
		}
		plan, err := r.Encoder.Messages(ctx, topic)
		if err != nil {
			return sideRefused(topic, err)
		}
		if m.partitions, err = r.Log.Topic(ctx, topic); err != nil {
			return fmt.Errorf("topic of logical messages: %w", err)
		}
		r.open.noted = true
		m.plan, m.counter.name = plan, LogicalMessages
	}
	if ev.Tx != nil {
		if err := r.prepare(ctx); err != nil {
			return err
		}
	}
	if ev.Long != nil {
		return r.oversizeMessage(ctx, ev, pos)
	}
	if err := r.room(ctx, ev.Read); err != nil {
		return err
	}
	b := r.batch
	bytes, before, begun := len(b.Buf), len(b.Records), r.meta.begun
	r.env = Envelope{Op: OpMessage, Tx: tx, LSN: ev.LSN, LastCommit: r.last, Now: ev.Read, XMin: r.xmin()}
	if ev.Tx != nil {
		r.opening()
	}
	rec := Record{Topic: topic, Start: len(b.Buf), Bare: true}
	b.Buf = m.plan.AppendKey(b.Buf, ev.Prefix)
	rec.Key = len(b.Buf) - rec.Start
	rec.Partition = r.partition(b.Buf[rec.Start:], m.partitions, 0)
	if ev.Tx != nil && r.meta.counting {
		r.meta.number(&r.env, &m.counter, r.Config.Debezium)
	}
	if r.adopted.passes(topic, rec.Partition, ev.Tx, ev.LSN, r) {
		r.meta.settle(&m.counter)
		b.Buf = b.Buf[:rec.Start]
		r.open.records += len(b.Records) - before
		return nil
	}
	rec.Value = b.appended(func(dst []byte) []byte { return m.plan.AppendValue(dst, &r.env, ev.Prefix, ev.Content) })
	if rec.Key+rec.Value > r.Config.MaxRow {
		b.Buf, b.Records, r.meta.begun, r.meta.pending = b.Buf[:bytes], b.Records[:before], begun, 0
		return r.oversizeMessage(ctx, ev, pos)
	}
	r.meta.settle(&m.counter)
	rec.Pos = b.appended(func(dst []byte) []byte { return pos.Append(dst) })
	if origin := tx.Origin; origin != "" {
		rec.Extra = []Header{{HeaderOrigin, origin}}
	}
	b.Records = append(b.Records, rec)
	m.published++
	r.open.records += len(b.Records) - before
	return nil
}
