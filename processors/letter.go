package processors

import (
	"slices"
	"strconv"
	"time"

	"github.com/tailrace/tailrace/kafka"
)

// Letter is a dead letter as its headers describe it, without the bytes of its
// record.
type Letter struct {
	ID          string    `json:"id"`
	Class       string    `json:"class"`
	Code        string    `json:"code,omitempty"`
	Message     string    `json:"message"`
	Step        string    `json:"step"`
	Table       string    `json:"table,omitempty"`
	Op          string    `json:"op,omitempty"`
	Entity      string    `json:"entity,omitempty"`
	Position    string    `json:"position,omitempty"`
	TxID        string    `json:"txid,omitempty"`
	SchemaID    string    `json:"schema_id,omitempty"`
	Stack       string    `json:"stack,omitempty"`         // of a step that panicked
	Replays     int       `json:"replay_count,omitempty"`  // how often it was a dead letter before
	From        string    `json:"replayed_from,omitempty"` // the ID it had then
	Parked      bool      `json:"parked"`                  // it stands behind another one of its row
	Behind      string    `json:"behind,omitempty"`        // that one's ID
	Attempts    int       `json:"attempts,omitempty"`
	FirstFailed time.Time `json:"first_failed_at,omitzero"`
	LastFailed  time.Time `json:"last_failed_at,omitzero"`
	Pipeline    string    `json:"pipeline"`
	Config      string    `json:"config_version,omitempty"`
	Sink        string    `json:"sink,omitempty"`
	Instance    string    `json:"instance,omitempty"`
	// Of the record, at its source.
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"time"`
	// At is its offset in the dead-letter topic; its partition there is the same.
	At int64 `json:"at"`
}

// headerLetterID is the first of the headers that a dead letter has beside those of
// its record.
const headerLetterID = "dlq.id"

// ReadLetter reads a record of the dead-letter topic; ok is false for one that no
// processor wrote.
func ReadLetter(m *kafka.Message) (l Letter, ok bool) {
	at := letterHeaders(m)
	if at < 0 {
		return l, false
	}
	l.At = m.Offset
	for _, h := range m.Headers[at:] {
		text := string(h.Value)
		switch h.Name {
		case headerLetterID:
			l.ID = text
		case "dlq.class":
			l.Class = text
		case "dlq.code":
			l.Code = text
		case "dlq.message":
			l.Message = text
		case "dlq.stack":
			l.Stack = text
		case "dlq.replay.count":
			l.Replays, _ = strconv.Atoi(text)
		case "dlq.replayed_from":
			l.From = text
		case "dlq.step":
			l.Step = text
		case "dlq.table":
			l.Table = text
		case "dlq.op":
			l.Op = text
		case "dlq.entity":
			l.Entity = text
		case "dlq.version":
			l.Position = text
		case "dlq.txid":
			l.TxID = text
		case "dlq.schema.id":
			l.SchemaID = text
		case "dlq.parked":
			l.Parked = text == "true"
		case "dlq.parked.behind":
			l.Behind = text
		case "dlq.attempts":
			l.Attempts, _ = strconv.Atoi(text)
		case "dlq.first_failed_at":
			l.FirstFailed, _ = time.Parse(time.RFC3339Nano, text)
		case "dlq.last_failed_at":
			l.LastFailed, _ = time.Parse(time.RFC3339Nano, text)
		case "dlq.pipeline":
			l.Pipeline = text
		case "dlq.config.version":
			l.Config = text
		case "dlq.sink":
			l.Sink = text
		case "dlq.instance":
			l.Instance = text
		case "dlq.original.topic":
			l.Topic = text
		case "dlq.original.partition":
			n, _ := strconv.ParseInt(text, 10, 32)
			l.Partition = int32(n)
		case "dlq.original.offset":
			l.Offset, _ = strconv.ParseInt(text, 10, 64)
		case "dlq.original.timestamp":
			ms, _ := strconv.ParseInt(text, 10, 64)
			l.Time = time.UnixMilli(ms).UTC()
		}
	}
	return l, l.ID != "" && l.Topic != ""
}

// letterHeaders is where a dead letter's own headers begin; -1 without any. A record
// that was a dead letter before has two sets of them.
func letterHeaders(m *kafka.Message) int {
	for i, h := range slices.Backward(m.Headers) {
		if h.Name == headerLetterID {
			return i
		}
	}
	return -1
}

// First is the ID of the first dead letter of the row, which may be this one's.
func (l *Letter) First() string {
	if l.Behind != "" {
		return l.Behind
	}
	return l.ID
}

// Original is the record as it came from its source.
func (l *Letter) Original(m *kafka.Message) kafka.Message {
	o := *m
	o.TopicPartition, o.Offset = kafka.TopicPartition{Topic: l.Topic, Partition: l.Partition}, l.Offset
	o.Headers = m.Headers[:letterHeaders(m)]
	return o
}
