package processors

import (
	"context"
	"fmt"
	"time"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/sinks"
)

// lettersAtOnce is how many dead letters are in memory at once.
const lettersAtOnce = 100

// lettersAfter is how long dead letters stay in the outbox while there are batches to write.
const lettersAfter = 200 * time.Millisecond

// due tells whether dead letters are taken to their topic now. While messages wait, those
// of several batches go together: to read, deliver and remove them takes as long as to
// write a third of a batch. What can go wrong by it:
//
//	the owner ends, or is killed               they are in the outbox: the next owner finds them there
//	the group's offset gets ahead of them      it stays before the first of them (settles)
//	there are more and more of them            no more than lettersAtOnce wait
//	a result is among them, of which the       they go at once
//	next batch must know
//	the batches behind them do not succeed,    they are taken to their topic first
//	or wait for the rate or for messages
func (o *owner) due() bool {
	return o.backlog && (o.letters >= lettersAtOnce || time.Since(o.lettersSince) >= lettersAfter || !o.queue.waiting())
}

// drain takes the partition's dead letters from the sink's outbox to their
// topic, in order, and removes them once they are acknowledged. The owner does
// nothing else meanwhile, so the outbox stays small; a topic that cannot be
// written holds the partition, as a sink does that cannot be written.
//
// Killed between the acknowledgement and the removal, it writes them again:
// their dlq.id is the same.
func (o *owner) drain(ctx context.Context) error {
	for o.backlog {
		letters, err := o.config.Outbox.Undelivered(ctx, o.claim, lettersAtOnce)
		if err != nil {
			return err
		}
		if len(letters) == 0 {
			o.backlog = false
			break
		}
		if err := o.deliver(ctx, letters); err != nil {
			return err
		}
		if err := o.config.Outbox.Delivered(ctx, o.claim, letters); err != nil {
			return err
		}
		o.backlog = len(letters) == lettersAtOnce // nobody else adds any
	}
	o.letters, o.lettersSince = 0, time.Time{}
	return nil
}

// deliver writes results of commands to their topic, and dead letters to theirs: who
// reads a dead letter that is open once more reads after it that it is.
func (o *owner) deliver(ctx context.Context, letters []sinks.DeadLetter) error {
	var dead, answers []kafka.Message
	var results []*Result
	for _, m := range messagesOf(letters) {
		if header(&m, headerResult) == "" {
			dead = append(dead, m)
			continue
		}
		_, r, err := ReadControl(&m)
		if err != nil || r == nil {
			return fmt.Errorf("the outbox holds a result that cannot be read: %w", err)
		}
		m.Headers = nil
		answers, results = append(answers, m), append(results, r)
	}
	if len(answers) > 0 && o.config.Control != nil {
		if err := o.config.Control.Write(ctx, o.topics(), answers); err != nil {
			return fmt.Errorf("deliver %d results of commands: %w", len(answers), err)
		}
		for _, r := range results {
			o.orders.note(r)
		}
	}
	if len(dead) > 0 {
		if err := o.config.Letters.Write(ctx, o.topics(), dead); err != nil {
			return fmt.Errorf("deliver %d dead letters: %w", len(dead), err)
		}
	}
	return nil
}

// headerResult marks the result of a command in the outbox.
const headerResult = "tailrace.result"

func isResult(d sinks.DeadLetter) bool {
	return len(d.Headers) == 1 && d.Headers[0].Name == headerResult
}

// answer is a result on its way through the outbox.
func (o *owner) answer(r *Result) sinks.DeadLetter {
	r.Version, r.At = 1, time.Now().UTC()
	return sinks.DeadLetter{ID: r.ID, Record: sinks.Record{
		Topic: o.tp.Topic, Partition: o.tp.Partition, Offset: o.expect, Timestamp: r.At, Key: []byte(r.key()), Value: mustJSON(r),
		Headers: []sinks.Header{{Name: headerResult, Value: []byte("1")}},
	}}
}

func messagesOf(letters []sinks.DeadLetter) []kafka.Message {
	out := make([]kafka.Message, len(letters))
	for i, d := range letters {
		out[i] = kafka.Message{TopicPartition: kafka.TopicPartition{Topic: d.Topic, Partition: d.Partition}, Time: d.Timestamp, Key: d.Key, Value: d.Value, Headers: d.Headers}
	}
	return out
}
