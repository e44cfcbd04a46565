package processors

// Commands to the owners of partitions: replay a dead letter, let the changes of a
// parked row go. They stand in the control topic, a partition of which is about the
// same partition of the sources, and the owner carries them out, because it alone
// may write what is behind its claim.
//
// The topic is compacted and holds, for each dead letter, the last command (key c/ID)
// and the last result (key r/ID; w/ID of one that is about a whole row). A command is due
// until a result names it, or its dead letter is closed: nothing is carried out twice. A
// result becomes durable in the transaction that has the effect: it goes through the
// outbox of dead letters, like them, and from there to the topic.
//
// A dead letter's ID is that of its change, so one that is closed comes again when the
// change does and fails again: behind another dead letter of its row, or where the target
// was made anew. A result says then that it is open once more; it stands in the topic
// before the dead letter does, and ends every command that stands before it. What is about
// a whole row has a key of its own, or the result of one dead letter of it, which comes
// again, would take it from those behind it.
//
// What a crash leaves at each point, and the test that makes it so:
//
//	killed after                    control topic  sink          then
//	the command was written         due            –             whoever owns the partition carries it out      TestControlCommandWaitsForAnOwner
//	the sender, between commands    some due       –             the others are sent by the next call           TestDlqReplayKilledInTheMiddle (test)
//	writes, before COMMIT           due            rolled back   carried out again                              TestControlKilledBeforeCommit
//	COMMIT unknown                  due            either        the offset row does not tell, for a command    TestControlCommitUnknown
//	                                                             does not move it: the outbox does
//	COMMIT, before the result is    due            done, result  the owner, or the next one, empties the outbox TestControlKilledBeforeTheResult
//	in the topic                                   in the outbox before it looks at commands
//	the result is written, before   result         done, result  written again; the same result                 (the same)
//	it is removed from the outbox                  in the outbox
//	zombie's COMMIT after a         due            fenced by     the zombie stops                               as every batch
//	take-over                                      the epoch
//
// An owner that has just claimed may have read less of the topic than its predecessor
// wrote: before it carries anything out it reads to what is the topic's end now.

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tailrace/tailrace/kafka"
)

// Control is the control topic. *kafka.Control is one.
type Control interface {
	// Write returns when all are acknowledged; sources are the topics of the pipeline.
	Write(ctx context.Context, sources []string, messages []kafka.Message) error
	// Ready makes sure that the topic has a partition for each message, and names it: the
	// messages go there in a transaction of the caller's.
	Ready(ctx context.Context, sources []string, messages []kafka.Message) (topic string, err error)
	// Ends is where each partition ends; it is empty while there is no topic.
	Ends(ctx context.Context) (map[int32]int64, error)
	// Follow hands all records to f, from the beginning, and then those that come,
	// until ctx ends.
	Follow(ctx context.Context, f func(kafka.Message)) error
}

// Command is what a person wants done with one dead letter. Its JSON stands in the
// control topic.
type Command struct {
	Version   int    `json:"version"` // 1
	Command   string `json:"command"` // its own id
	Do        string `json:"do"`      // DoReplay or DoResolve
	ID        string `json:"id"`      // dlq.id
	Topic     string `json:"topic"`   // the source's
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"` // in the dead-letter topic
	// Behind is the dlq.id of the first dead letter of the row, and First its offset
	// in the dead-letter topic; "" when this is it.
	Behind string `json:"behind,omitempty"`
	First  int64  `json:"first,omitempty"`
	// Force replays a change that is older than what the row has.
	Force bool `json:"force,omitempty"`
	// Discard leaves the dead letter itself out when its row is let go.
	Discard bool `json:"discard,omitempty"`
	// Of DoSeek: where to go on, the generation that it is raised to (0: it stays), the
	// end of the stretch, and the first dead letters of the rows whose parking ends.
	Next       int64    `json:"next,omitempty"`
	Generation int64    `json:"generation,omitempty"`
	End        int64    `json:"end,omitempty"`
	Until      string   `json:"until,omitempty"`
	Unpark     []string `json:"unpark,omitempty"`

	At time.Time `json:"at"`
	By string    `json:"by,omitempty"`
}

// SeekID is the id of a command that sets a partition back; one replay has one for each.
func SeekID(replay string, tp kafka.TopicPartition) string {
	return fmt.Sprintf("seek/%s/%s/%d", replay, tp.Topic, tp.Partition)
}

// What a Command wants done.
const (
	// DoReplay applies a dead letter again; with the whole row behind it when that is
	// parked.
	DoReplay = "replay"
	// DoResolve lets a parked row go: its dead letters are applied in order. One whose
	// row is not parked is closed without being applied.
	DoResolve = "resolve"
	// DoSeek sets the partition back; ID is that of the replay and the topic, and Offset
	// means nothing.
	DoSeek = "seek"
)

// Result is what became of a dead letter. Its JSON stands in the control topic.
type Result struct {
	Version int     `json:"version"` // 1
	ID      string  `json:"id"`
	Command string  `json:"command,omitempty"` // "" when nobody asked for it
	Outcome Verdict `json:"outcome"`
	Message string  `json:"message,omitempty"`
	// Row tells that it holds for every dead letter behind this one, too; behind a command
	// that is refused: for all dead letters of its row.
	Row bool      `json:"row,omitempty"`
	At  time.Time `json:"at"`
}

// Verdict is what became of a dead letter.
type Verdict string

// The verdicts. Behind the last three the dead letter is still open.
const (
	VerdictApplied    Verdict = "applied"
	VerdictFiltered   Verdict = "filtered"   // the pipeline's steps let nothing of it through
	VerdictDiscarded  Verdict = "discarded"  // left out when its row was let go
	VerdictClosed     Verdict = "closed"     // by hand, without being applied
	VerdictResolved   Verdict = "resolved"   // by itself: the row came whole, or was deleted
	VerdictSetBack    Verdict = "set_back"   // not of a dead letter: the partition goes through a stretch again
	VerdictSuperseded Verdict = "superseded" // the row has a later change
	VerdictFailed     Verdict = "failed"     // again
	VerdictOpen       Verdict = "open"       // once more: it was closed, and its change came again and failed
)

// Closed tells whether nothing is left to do.
func (v Verdict) Closed() bool {
	switch v {
	case VerdictApplied, VerdictFiltered, VerdictDiscarded, VerdictClosed, VerdictResolved, VerdictSetBack:
		return true
	}
	return false
}

// The prefixes of keys in the control topic.
const (
	commandKey = "c/"
	resultKey  = "r/"
	rowKey     = "w/" // of a result about a whole row
	// markKey is that of the mark by which a reader finds the end (orders.hear).
	markKey = "m/reader"
)

// Message is the command as a record of the control topic.
func (c *Command) Message() kafka.Message {
	return kafka.Message{TopicPartition: kafka.TopicPartition{Partition: c.Partition}, Key: []byte(commandKey + c.ID), Value: mustJSON(c)}
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // numbers, texts and times always have a JSON form
	}
	return b
}

// ReadControl reads a record of the control topic: a command, a result, or neither.
func ReadControl(m *kafka.Message) (*Command, *Result, error) {
	switch {
	case m.Control || m.Value == nil || len(m.Key) < len(commandKey):
		return nil, nil, nil
	case string(m.Key[:len(commandKey)]) == commandKey:
		c := &Command{}
		if err := json.Unmarshal(m.Value, c); err != nil {
			return nil, nil, fmt.Errorf("control topic, partition %d offset %d: command: %w", m.Partition, m.Offset, err)
		}
		return c, nil, nil
	case string(m.Key[:len(resultKey)]) == resultKey, string(m.Key[:len(rowKey)]) == rowKey:
		r := &Result{}
		if err := json.Unmarshal(m.Value, r); err != nil {
			return nil, nil, fmt.Errorf("control topic, partition %d offset %d: result: %w", m.Partition, m.Offset, err)
		}
		return nil, r, nil
	}
	return nil, nil, nil
}

func (r *Result) key() string {
	if r.Row {
		return rowKey + r.ID
	}
	return resultKey + r.ID
}
