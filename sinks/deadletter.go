package sinks

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/tailrace/tailrace/cdc"
)

// Record is a record of the log with the bytes it came with.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp time.Time // to the millisecond, as Kafka keeps it
	Key       []byte    // nil: null
	Value     []byte    // nil: null
	Headers   []Header
}

// Header is one record header.
type Header = cdc.RecordHeader

// DeadLetter is a record on its way to the dead-letter topic: key, value and
// timestamp as they were, the headers as they were and then the dlq.* ones. It
// goes to the partition number that it came from.
type DeadLetter struct {
	Record
	ID string // dlq.id
	// Ref is the outbox's own name of a stored dead letter.
	Ref int64
}

// Reason is why a record goes to the dead-letter topic, and what is known about
// it; what is not known stays empty and gets no header.
type Reason struct {
	Pipeline      string
	ConfigVersion string
	Instance      string
	Step          string // the step of the pipeline; "sink" for what no step has changed
	Sink          string // the destination's kind
	Err           *RecordError
	Attempts      int
	FirstFailed   time.Time
	LastFailed    time.Time
	Position      string // the text of tailrace.pos, when it is one
	Entity        string // the row's key as text
	Table         string
	Op            string
	TxID          string
	SchemaID      string
	// Behind is the dlq.id of the record that this one was diverted behind; it
	// failed by itself when empty.
	Behind string
	// Generation is the pipeline's; 0 counts as 1.
	Generation int64
}

// NewDeadLetter adds the dlq.* headers to r, whose own bytes are shared.
func NewDeadLetter(r Record, why Reason) DeadLetter {
	d := DeadLetter{Record: r, ID: DeadLetterID(why.Pipeline, why.Step, why.Position, why.Generation, r)}
	headers := append(make([]Header, 0, len(r.Headers)+26), r.Headers...)
	add := func(name, value string) {
		if value != "" {
			headers = append(headers, Header{Name: "dlq." + name, Value: []byte(value)})
		}
	}
	add("id", d.ID)
	add("pipeline", why.Pipeline)
	add("config.version", why.ConfigVersion)
	add("step", why.Step)
	add("sink", why.Sink)
	add("class", string(why.Err.Class))
	add("code", why.Err.Code)
	add("message", message(why.Err))
	add("stack", why.Err.Stack[:min(len(why.Err.Stack), maxStack)])
	if why.Attempts > 0 {
		add("attempts", strconv.Itoa(why.Attempts))
	}
	add("first_failed_at", timeText(why.FirstFailed))
	add("last_failed_at", timeText(why.LastFailed))
	add("original.topic", r.Topic)
	add("original.partition", strconv.Itoa(int(r.Partition)))
	add("original.offset", strconv.FormatInt(r.Offset, 10))
	add("original.timestamp", strconv.FormatInt(r.Timestamp.UnixMilli(), 10))
	add("entity", why.Entity)
	add("version", why.Position)
	add("table", why.Table)
	add("op", why.Op)
	add("txid", why.TxID)
	add("schema.id", why.SchemaID)
	add("instance", why.Instance)
	if why.Generation > 1 {
		add("generation", strconv.FormatInt(why.Generation, 10))
	}
	if why.Behind != "" {
		add("parked", "true")
		add("parked.behind", why.Behind)
	}
	if from, count := replayed(r.Headers); from != "" {
		add("replay.count", strconv.Itoa(count))
		add("replayed_from", from)
	}
	d.Headers = headers
	return d
}

// maxStack is how much of a program's stack a header holds.
const maxStack = 8 << 10

// replayed says of a record that was a dead letter before, and was written to the log
// again with its headers, which one it was, and how often that was so.
func replayed(headers []Header) (from string, count int) {
	for _, h := range headers { // the last ones are of the last time
		switch h.Name {
		case "dlq.id":
			from, count = string(h.Value), count+1
		case "dlq.replay.count":
			if n, err := strconv.Atoi(string(h.Value)); err == nil {
				count = max(count, n+1)
			}
		}
	}
	return from, count
}

// DeadLetterID is the first 32 hexadecimal digits of the SHA-256 over pipeline,
// step and source position, each ended by a zero byte; a record without
// position takes topic, partition and offset in its place. The same record of
// the same source thus has one id, however often it is delivered. From the second
// generation on the generation is part of it: what fails when it is applied again is
// another dead letter than the one that is closed.
func DeadLetterID(pipeline, step, position string, generation int64, r Record) string {
	if position == "" {
		position = fmt.Sprintf("%s\x00%d\x00%d", r.Topic, r.Partition, r.Offset)
	}
	text := pipeline + "\x00" + step + "\x00" + position + "\x00"
	if generation > 1 {
		text += strconv.FormatInt(generation, 10) + "\x00"
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

func message(e *RecordError) string {
	if e.Next == "" {
		return e.Reason
	}
	return e.Reason + "; " + e.Next
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
