package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/schema"
)

// schemas answers with the text of a schema by its id.
type schemas interface {
	SchemaByID(ctx context.Context, id int) (string, error)
}

// shown is one record as tail -o json prints it; the names are public. A
// tombstone has no op.
type shown struct {
	Topic     string          `json:"topic"`
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"`
	Pos       *string         `json:"pos"`
	Op        *string         `json:"op"`
	Key       json.RawMessage `json:"key"`
	Before    json.RawMessage `json:"before"`
	After     json.RawMessage `json:"after"`
	Source    json.RawMessage `json:"source"`
	// Transaction is the block of that name, of records that have one.
	Transaction json.RawMessage   `json:"transaction,omitempty"`
	Headers     map[string]string `json:"headers"`
	Timestamp   int64             `json:"timestamp"` // milliseconds since 1970-01-01 UTC
	// Column and Reason are those of a dead letter.
	Column string `json:"column,omitempty"`
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
}

// decoder turns records into what people read. It is not safe for concurrent
// use.
type decoder struct {
	schemas schemas
	readers map[int]*schema.Reader
}

func newDecoder(s schemas) *decoder {
	return &decoder{schemas: s, readers: map[int]*schema.Reader{}}
}

// record decodes what it can; what it cannot is said in Error, and the record is
// shown all the same.
func (d *decoder) record(ctx context.Context, m *kafka.Message) *shown {
	s := &shown{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Headers: map[string]string{}, Timestamp: m.Time.UnixMilli()}
	for _, h := range m.Headers {
		s.Headers[h.Name] = printable(h.Value)
		if h.Name == cdc.HeaderPosition {
			pos := string(h.Value)
			s.Pos = &pos
		}
	}
	var err error
	if s.Key, err = d.json(ctx, m.Key); err != nil {
		s.Error = "key: " + err.Error()
	}
	if part := s.Headers["dlq.part"]; part != "" {
		s.part(part, m.Value)
		return s
	}
	value, err := d.json(ctx, m.Value)
	if err != nil {
		s.Error = "value: " + err.Error()
	}
	s.envelope(value)
	return s
}

// part shows one part of a dead letter that is too long for one record: After is
// its text, so that texts in a row are the letter.
func (s *shown) part(number string, value []byte) {
	op := s.Headers["dlq.op"]
	s.Op, s.After = &op, quoted(value)
	s.Reason = "part " + number
	if all := s.Headers["dlq.parts"]; all != "" {
		s.Reason += " of " + all
	}
	s.Reason += " of a dead letter of " + s.Headers["dlq.table"] + ": " + s.Headers["dlq.message"]
}

// envelope takes a value apart. A value that is no envelope, as those of logical
// messages and transactions are, stands in After whole.
func (s *shown) envelope(value json.RawMessage) {
	if value == nil {
		return
	}
	var e struct {
		Before, After, Source, Transaction json.RawMessage
		Op                                 *string
		Message                            json.RawMessage
		Column, Reason                     string
	}
	if json.Unmarshal(value, &e) != nil || e.Op == nil && e.Source == nil {
		s.After = value
		return
	}
	s.Op, s.Before, s.After, s.Source = e.Op, e.Before, e.After, e.Source
	s.Column, s.Reason = e.Column, e.Reason
	if !isNull(e.Transaction) {
		s.Transaction = e.Transaction
	}
	if e.Message != nil {
		s.After = e.Message
	}
}

// json is a key or value as JSON; nil for null. A dead letter is JSON already.
func (d *decoder) json(ctx context.Context, record []byte) (json.RawMessage, error) {
	switch {
	case record == nil:
		return nil, nil
	case json.Valid(record):
		return compact(record), nil
	}
	id, body, err := schema.SplitHeader(record)
	if err != nil {
		return quoted(record), err
	}
	reader, err := d.reader(ctx, id)
	if err != nil {
		return quoted(record), err
	}
	text, err := reader.AppendJSON(nil, body)
	if err != nil {
		return quoted(record), fmt.Errorf("schema %d: %w", id, err)
	}
	return text, nil
}

func (d *decoder) reader(ctx context.Context, id int) (*schema.Reader, error) {
	if r, ok := d.readers[id]; ok {
		return r, nil
	}
	text, err := d.schemas.SchemaByID(ctx, id)
	if err != nil {
		return nil, err
	}
	r, err := schema.NewReader(text)
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", id, err)
	}
	d.readers[id] = r
	return r, nil
}

func compact(b []byte) json.RawMessage {
	var out bytes.Buffer
	if json.Compact(&out, b) != nil {
		return b
	}
	return out.Bytes()
}

func quoted(b []byte) json.RawMessage {
	text, err := json.Marshal(printable(b))
	if err != nil {
		return nil
	}
	return text
}

// printable is text as it is, and other bytes as PostgreSQL's \x.
func printable(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return fmt.Sprintf("\\x%x", b)
}
