package cdc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// topics is a log that holds what is durable, and what an open transaction has.
type topics struct {
	partitions int32
	records    []record
	notes      []Note
	progress   *Progress

	open      []record
	openNotes []Note
	begun     bool
	commits   int
	killAt    int  // the commit that fails; 0: none
	survives  bool // and is durable all the same
	made      []string
	batches   int
	onCommit  func() // while one is under way
	rest      func() time.Duration
}

// record is a durable record, readable.
type record struct {
	topic      string
	partition  int32
	key, value string
	pos        string
	note       string // unavailable, key JSON, tombstone, bare, headers
	extra      string // headers that the record names itself: name=value, a line each
}

// header is one that the record names itself.
func (r record) header(name string) string {
	for line := range strings.Lines(r.extra) {
		if v, ok := strings.CutPrefix(line, name+"="); ok {
			return strings.TrimSuffix(v, "\n")
		}
	}
	return ""
}

func (r record) String() string {
	return fmt.Sprintf("%s/%d %s %s = %s%s", r.topic, r.partition, r.pos, r.key, r.value, r.note)
}

func (l *topics) Topic(_ context.Context, name string) (int32, error) {
	if !slices.Contains(l.made, name) {
		l.made = append(l.made, name)
		l.begun = true
	}
	return l.partitions, nil
}

func (l *topics) Key(topic string, t *Table) *KeyPin {
	for _, notes := range [][]Note{l.openNotes, l.notes} {
		for i := len(notes) - 1; i >= 0; i-- {
			if notes[i].Key != "key/"+topic+"/"+t.String() {
				continue
			}
			var pin KeyPin
			if err := json.Unmarshal(notes[i].Value, &pin); err != nil {
				panic(err)
			}
			return &pin
		}
	}
	return nil
}

func (l *topics) PinKey(ctx context.Context, topic string, pin KeyPin) error {
	value, err := json.Marshal(pin)
	if err != nil {
		return err
	}
	return l.Note(ctx, Note{Key: "key/" + topic + "/" + pin.Table, Value: value})
}

func (l *topics) Batch(context.Context) (*Batch, error) { return &Batch{}, nil }

func (l *topics) Publish(_ context.Context, b *Batch) error {
	l.begun = true
	l.batches++
	for i := range b.Records {
		l.open = append(l.open, readable(b, &b.Records[i]))
	}
	return nil
}

func readable(b *Batch, r *Record) record {
	at := r.Start
	part := func(n int) string {
		s := string(b.Buf[at : at+n])
		at += n
		return s
	}
	out := record{topic: r.Topic, partition: r.Partition, key: part(r.Key), value: part(r.Value), pos: part(r.Pos)}
	for _, p := range []struct{ name, text string }{{"unavailable", part(r.Unavailable)}, {[...]string{"", "newkey", "oldkey"}[r.Half], part(r.KeyJSON)}} {
		if p.text != "" {
			out.note += " " + p.name + "=" + p.text
		}
	}
	if r.Tombstone {
		out.value = "tombstone"
	}
	if r.Bare {
		out.note += " bare"
	}
	for _, h := range r.Extra {
		out.extra += h.Name + "=" + h.Value + "\n"
		if h.Name == HeaderOrigin {
			out.note += " origin=" + h.Value
		}
	}
	return out
}

func (l *topics) Note(_ context.Context, n Note) error {
	l.begun = true
	l.openNotes = append(l.openNotes, n)
	return nil
}

func (l *topics) Commit(ctx context.Context, p Progress) error {
	l.commits++
	if l.onCommit != nil {
		l.onCommit()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.commits != l.killAt || l.survives {
		text, err := json.Marshal(p)
		if err != nil {
			return err
		}
		l.progress = new(Progress)
		if err := json.Unmarshal(text, l.progress); err != nil {
			return err
		}
		l.records, l.notes = append(l.records, l.open...), append(l.notes, l.openNotes...)
	}
	l.open, l.openNotes, l.begun = nil, nil, false
	if l.commits == l.killAt {
		return errKilled
	}
	return nil
}

func (l *topics) Rest() time.Duration {
	if l.rest == nil {
		return 0
	}
	return l.rest()
}

// abort is what a successor's InitProducerId does.
func (l *topics) abort() {
	l.open, l.openNotes, l.begun, l.killAt = nil, nil, false, 0
}

func (l *topics) history(versions []Note) *History {
	h := &History{}
	for _, n := range versions {
		if n.Schema {
			if err := h.Add(n.Value); err != nil {
				panic(err)
			}
		}
	}
	return h
}

// in gives the records of the topics that end so.
func (l *topics) in(suffix string) []record {
	var out []record
	for _, r := range l.records {
		if strings.HasSuffix(r.topic, suffix) {
			out = append(out, r)
		}
	}
	return out
}

// texts is an encoder that writes what people can read.
type texts struct {
	log     *topics
	refuse  func(t *Table, topic string) *RefusedError
	plans   []string
	ids     int            // of key schemas begin behind it
	compile func(t *Table) // told of each accepted version
}

var errOpen = errors.New("the registry was asked inside of a Kafka transaction")

func (e *texts) Plan(_ context.Context, t *Table, topic, key string) (Plan, *Table, error) {
	if e.log.begun {
		return nil, nil, errOpen
	}
	e.plans = append(e.plans, topic)
	if e.refuse != nil {
		if err := e.refuse(t, topic); err != nil {
			return nil, nil, err
		}
	}
	if e.compile != nil {
		e.compile(t)
	}
	p := &textPlan{t, e.ids}
	if key != "" && key != p.KeySchema() {
		return nil, nil, &KeyChangedError{Was: key, Is: p.KeySchema()}
	}
	return p, t, nil
}

func (e *texts) Messages(context.Context, string) (MessagePlan, error) {
	return messageText{}, e.side()
}

func (e *texts) Transactions(context.Context, string) (TransactionPlan, error) {
	return transactionText{}, e.side()
}

func (e *texts) Heartbeats(context.Context, string) (HeartbeatPlan, error) {
	return heartbeatText{}, e.side()
}

func (e *texts) side() error {
	if e.log.begun {
		return errOpen
	}
	return nil
}

func (e *texts) Widen(t *Table, fact *FactError) *Table {
	w := *t
	w.Columns = slices.Clone(t.Columns)
	c := &w.Columns[fact.Column]
	if fact.Fact == FactNotNull {
		c.NotNull = false
		return &w
	}
	n := *c.Type
	n.Labels = append(slices.Clone(n.Labels), string(fact.Text))
	c.Type = &n
	return &w
}

type textPlan struct {
	table *Table
	ids   int // of key schemas begin behind it
}

func (p *textPlan) KeyID() int { return p.ids + len(p.table.Key) }

// KeySchema names the key's columns.
func (p *textPlan) KeySchema() string {
	var names []string
	for _, i := range p.table.Key {
		names = append(names, p.table.Columns[i].Name)
	}
	return strings.Join(names, ",")
}

func (p *textPlan) ValueID() int { return 100 + len(p.table.Columns) }

func (p *textPlan) AppendKey(dst []byte, row []Value) ([]byte, error) {
	if len(p.table.Key) == 0 {
		return dst, nil
	}
	dst = append(dst, "key  "...)
	for _, i := range p.table.Key {
		switch row[i].State {
		case Unchanged:
			return dst, &ValueError{Column: p.table.Columns[i].Name, Reason: "no key"}
		case Absent:
			dst = append(dst, "filler"...)
		}
		dst = append(append(dst, row[i].Data...), ';')
	}
	return dst, nil
}

func (p *textPlan) AppendKeyJSON(dst []byte, row []Value) ([]byte, error) {
	for _, i := range p.table.Key {
		dst = append(append(append(dst, p.table.Columns[i].Name...), ':'), row[i].Data...)
	}
	return dst, nil
}

func (p *textPlan) AppendValue(dst []byte, e *Envelope) ([]byte, error) {
	dst = append(dst, byte(e.Op), ' ')
	var err error
	for _, row := range [][]Value{e.Before, e.After} {
		if dst, err = p.appendRow(dst, row); err != nil {
			return dst, err
		}
	}
	return appendEnvelope(dst, e), nil
}

func (p *textPlan) appendRow(dst []byte, row []Value) ([]byte, error) {
	if row == nil {
		return append(dst, "- "...), nil
	}
	dst = append(dst, '{')
	for i, v := range row {
		c := &p.table.Columns[i]
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(append(dst, c.Name...), '=')
		switch v.State {
		case Null:
			if c.NotNull {
				return dst, &FactError{Column: i, Fact: FactNotNull}
			}
			dst = append(dst, "NULL"...)
		case Absent:
			dst = append(dst, '_')
		case Unchanged:
			dst = append(dst, '?')
		case Text:
			if c.Type.Kind == KindEnum && len(c.Type.Labels) > 0 && !slices.Contains(c.Type.Labels, string(v.Data)) {
				return dst, &FactError{Column: i, Fact: FactEnumLabel, Text: v.Data}
			}
			if string(v.Data) == "NaN" {
				return dst, &ValueError{Column: c.Name, Reason: "not a number"}
			}
			dst = append(dst, v.Data...)
		}
	}
	return append(dst, "} "...), nil
}

func appendEnvelope(dst []byte, e *Envelope) []byte {
	dst = fmt.Appendf(dst, "xid=%d lsn=%x last=%x ts=%d", e.Tx.XID, uint64(e.LSN), uint64(e.LastCommit), e.Tx.CommitTime)
	if len(e.TransactionID) > 0 {
		dst = fmt.Appendf(dst, " tx=%s#%d/%d", e.TransactionID, e.TotalOrder, e.TableOrder)
	}
	if e.XMin != 0 {
		dst = fmt.Appendf(dst, " xmin=%d", e.XMin)
	}
	if e.Snapshot != NotSnapshot {
		dst = append(append(dst, ' '), e.Snapshot.String()...)
	}
	return dst
}

type messageText struct{}

func (messageText) AppendKey(dst []byte, prefix string) []byte {
	return append(append(dst, "key  "...), prefix...)
}

func (messageText) AppendValue(dst []byte, e *Envelope, prefix string, content []byte) []byte {
	return appendEnvelope(fmt.Appendf(dst, "%c %s:%s ", byte(e.Op), prefix, content), e)
}

type transactionText struct{}

func (transactionText) AppendKey(dst, id []byte) []byte {
	return append(append(dst, "key  "...), id...)
}

func (transactionText) AppendValue(dst []byte, m *TransactionMark) []byte {
	if !m.End {
		return fmt.Appendf(dst, "BEGIN %s ts=%d", m.ID, m.CommitTime)
	}
	return fmt.Appendf(dst, "END %s ts=%d %v", m.ID, m.CommitTime, m.Tables)
}

type heartbeatText struct{}

func (heartbeatText) AppendKey(dst []byte) []byte            { return append(dst, "key  server"...) }
func (heartbeatText) AppendValue(dst []byte, _ int64) []byte { return append(dst, "beat"...) }

// sums is an observer.
type sums struct {
	changes   map[string]int
	filtered  map[string]int
	letters   map[string]int
	beats     []time.Time
	confirmed LSN
	samples   []Sample
}

func newSums() *sums {
	return &sums{changes: map[string]int{}, filtered: map[string]int{}, letters: map[string]int{}}
}

func (s *sums) Changes(table string, op Op, n int) { s.changes[table+" "+op.String()] += n }
func (s *sums) Filtered(reason string, n int)      { s.filtered[reason] += n }
func (s *sums) DeadLetter(reason string)           { s.letters[reason]++ }
func (s *sums) CommitToAck(time.Duration)          {}
func (s *sums) Confirmed(lsn LSN)                  { s.confirmed = lsn }
func (s *sums) Sampled(sample Sample)              { s.samples = append(s.samples, sample) }
func (s *sums) Fallback(table, column, typ string) {}
func (s *sums) Heartbeat(sent time.Time)           { s.beats = append(s.beats, sent) }

var discard = slog.New(slog.DiscardHandler)
