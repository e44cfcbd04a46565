package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/sinks"
	"github.com/tailrace/tailrace/sinks/postgres"
)

// eachPiece gives what is remembered and asked for to f: by partition rows and entities,
// each by table and key, then what the sink has. A partition is read when f has seen the
// ones before it, so that one at a time is in memory, as in the processor that owns it.
func (s *settings) eachPiece(ctx context.Context, q query, f func(*piece) error) error {
	r := &remembered{settings: s, query: q, f: f, readers: map[int]*schema.Reader{}}
	switch {
	case s.Sink.Kafka != nil:
		return r.inLog(ctx)
	case s.Sink.Postgres != nil:
		return r.inPostgres(ctx)
	}
	return fmt.Errorf("sink.%s keeps no positions of rows; processor dlq list shows the rows that are parked", s.Sink.kind())
}

// remembered is one reading.
type remembered struct {
	settings *settings
	query    query
	f        func(*piece) error

	readers map[int]*schema.Reader // of keys, by registry id
	known   *schemas
	marks   []mark // of the partition under way
	shown   []bool // parallel to marks
}

// mark is a parked row.
type mark = postgres.ParkedRow

func (r *remembered) inLog(ctx context.Context) error {
	connection, err := r.settings.kafkaConfig()
	if err != nil {
		return err
	}
	changelog, err := kafka.NewChangelog(connection, kafka.StateTopic(r.settings.Name), -1)
	if err != nil {
		return err
	}
	defer changelog.Close()
	partitions, err := changelog.Partitions(ctx)
	if err != nil {
		return err
	}
	for number := range partitions {
		store := state.NewReplica()
		if err := changelog.Committed(ctx, number, store.Take); err != nil {
			return err
		}
		r.marks = r.marks[:0]
		if err := r.store(ctx, number, store); err != nil {
			return err
		}
	}
	return nil
}

func (r *remembered) inPostgres(ctx context.Context) error {
	sink, err := postgres.New(r.settings.postgresConfig(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return err
	}
	defer sink.Close()
	parked, err := sink.ParkedRows(ctx)
	if err != nil {
		return err
	}
	last := int32(-1) // partition
	for _, p := range parked {
		last = max(last, p.Partition)
	}
	number, store := int32(0), state.NewReplica()
	upTo := func(next int32) error {
		for ; number < next; number++ {
			r.marks = r.marks[:0]
			for _, p := range parked {
				if p.Partition == number {
					r.marks = append(r.marks, p)
				}
			}
			if err := r.store(ctx, number, store); err != nil {
				return err
			}
			store = state.NewReplica()
		}
		return nil
	}
	err = sink.AllStates(ctx, func(of int32, key, value []byte) error {
		last = max(last, of)
		if err := upTo(of); err != nil {
			return err
		}
		return store.Take(key, value)
	})
	if err == nil {
		err = upTo(last + 1)
	}
	if err != nil {
		return err
	}
	key := ""
	if r.query.exact {
		key = arrayKey(plainKey(r.query.key))
	}
	return sink.Traces(ctx, key, func(t postgres.Trace) error {
		p := &piece{Kind: kindTarget, Table: strings.ReplaceAll(t.Target, `"`, ""), Key: plainKey(t.Key), Generation: t.Generation, Position: t.Pos, Applied: t.Pos, Until: t.Expires, Value: json.RawMessage(t.Row)}
		if !t.Expires.IsZero() {
			p.Removed = t.Expires.Add(-r.settings.State.Retention)
		}
		return r.give(p)
	})
}

func (r *remembered) give(p *piece) error {
	if !r.query.takes(p.Table, p.Key) {
		return nil
	}
	return r.f(p)
}

// arrayKey is a key as sinks.RowKey writes it.
func arrayKey(plain string) string {
	var values []*string
	if json.Unmarshal([]byte(plain), &values) == nil && len(values) > 0 {
		return plain
	}
	return sinks.RowKey([]cdc.Value{{State: cdc.Text, Data: []byte(plain)}})
}

// store gives the state of one partition.
func (r *remembered) store(ctx context.Context, number int32, store *state.Replica) error {
	list := store.List()
	for _, e := range list {
		if e.Key.Scope != state.Parked {
			continue
		}
		m, err := state.ParseMarker(e.Value)
		if err != nil {
			return err
		}
		p := postgres.ParkedRow{Topic: e.Key.Table, Partition: number, Since: m.Since, LastSeen: m.LastSeen, Park: sinks.Park{Class: sinks.Class(m.Class), FirstID: m.FirstID, Count: m.Count}}
		copy(p.Key[:], e.Key.Key)
		r.marks = append(r.marks, p)
	}
	r.shown = make([]bool, len(r.marks))
	for _, e := range list {
		var p *piece
		var err error
		switch e.Key.Scope {
		case state.Row:
			if e.Key.Step != "" || processors.SecondStage(e.Key.Table) {
				continue // a step's own note of a row, or the row once more
			}
			if p, err = r.row(ctx, e); err == nil {
				of, _, _ := store.Get(ctx, processors.EntityOf(e.Key.Table, arrayKey(p.Key)))
				p.Entity = string(of)
			}
		case state.Entity:
			p = entityPiece(e)
			r.parked(p, sinks.ParkKey([]byte(e.Key.Key)), func(m *mark) bool { return m.Topic == kafka.EntityTopic(r.settings.Name) })
		default:
			continue
		}
		if err == nil {
			p.Partition = &number
			err = r.give(p)
		}
		if err != nil {
			return err
		}
	}
	return r.left(ctx, number)
}

// row is a source row.
func (r *remembered) row(ctx context.Context, e state.Entry) (*piece, error) {
	row, err := state.ParseRow(e.Value)
	if err != nil {
		return nil, err
	}
	p := &piece{Kind: kindRow, Generation: row.Generation, Position: row.Seen.String(), Removed: row.Removed, Key: r.key(ctx, row.KeySchema, e.Key.Key)}
	if row.Applied != (state.Place{}) {
		p.Applied = row.Applied.String()
	}
	name, rest, _ := strings.Cut(e.Key.Table, "/")
	database, table, _ := strings.Cut(rest, ".")
	p.Source, p.Table = name+"/"+database, table
	r.parked(p, sinks.ParkKey([]byte(e.Key.Key)), func(m *mark) bool { return m.Topic != kafka.EntityTopic(r.settings.Name) })
	return p, nil
}

// parked finds the marker of a row or an entity: of two tables with equal keys, that of
// the topic that ends with the table's name.
func (r *remembered) parked(p *piece, digest [32]byte, of func(*mark) bool) {
	found := -1
	for i := range r.marks {
		m := &r.marks[i]
		if m.Key == digest && of(m) && (found < 0 && !r.shown[i] || strings.HasSuffix(m.Topic, "."+p.Table)) {
			found = i
		}
	}
	if found >= 0 {
		p.Parked, r.shown[found] = parkedOf(&r.marks[found]), true
	}
}

func parkedOf(m *mark) *parkedPiece {
	return &parkedPiece{Topic: m.Topic, Class: string(m.Class), First: m.FirstID, Count: m.Count, Since: m.Since, LastSeen: m.LastSeen}
}

// key is the text of a record key; its bytes, in hexadecimal, where the registry does
// not tell what they are.
func (r *remembered) key(ctx context.Context, id int, key string) string {
	reader, err := r.reader(ctx, id)
	if err == nil {
		var values []cdc.Value
		if values, err = reader.ReadRow([]byte(key)); err == nil {
			return plainKey(sinks.RowKey(values))
		}
	}
	return "hex:" + hex.EncodeToString([]byte(key))
}

func (r *remembered) reader(ctx context.Context, id int) (*schema.Reader, error) {
	if reader := r.readers[id]; reader != nil {
		return reader, nil
	}
	if r.known == nil {
		known, err := r.settings.schemas(prometheus.NewRegistry())
		if err != nil {
			return nil, err
		}
		r.known = &known
	}
	text, err := r.known.SchemaByID(ctx, id)
	if err != nil {
		return nil, err
	}
	reader, err := schema.NewReader(text)
	if err == nil {
		r.readers[id] = reader
	}
	return reader, err
}

// entityPiece is what a step keeps of an entity.
func entityPiece(e state.Entry) *piece {
	p := &piece{Kind: kindEntity, Step: e.Key.Step, Key: plainKey(e.Key.Key)}
	entity, err := state.ParseEntity(e.Value)
	if err != nil {
		p.Value = valueJSON(e.Value)
		return p
	}
	p.Generation, p.Sequence = entity.Generation, entity.Sequence
	if entity.Value != nil {
		p.Value = valueJSON(entity.Value)
		return p
	}
	rows := map[string][]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(entity.Contributions)) {
		table, _, _ := strings.Cut(name, "\x00")
		rows[table] = append(rows[table], valueJSON(entity.Contributions[name].Value))
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(rows) == nil {
		p.Value = bytes.TrimSpace(b.Bytes())
	}
	return p
}

// valueJSON is a value as JSON: itself where it is that, else a text.
func valueJSON(b []byte) json.RawMessage {
	switch {
	case json.Valid(b):
		return b
	case !utf8.Valid(b):
		b = []byte("hex:" + hex.EncodeToString(b))
	}
	text, _ := json.Marshal(string(b)) // a text always has a JSON form
	return text
}

// left gives the parked rows of which nothing else is known: their keys stand in the
// dead-letter topic.
func (r *remembered) left(ctx context.Context, number int32) error {
	var open []mark
	for i, m := range r.marks {
		if !r.shown[i] {
			open = append(open, m)
		}
	}
	if len(open) == 0 {
		return nil
	}
	l, err := r.settings.openLedger(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	slices.SortFunc(open, func(a, b mark) int { return cmp.Or(cmp.Compare(a.Topic, b.Topic), a.Since.Compare(b.Since)) })
	for _, m := range open {
		p := &piece{Kind: kindParked, Key: "sha256:" + hex.EncodeToString(m.Key[:]), Table: m.Topic, Partition: &number, Parked: parkedOf(&m)}
		if e := l.byID[m.FirstID]; e != nil {
			p.Table, p.Position = cmp.Or(e.Table, m.Topic), e.Letter.Position
			if e.Entity != "" {
				p.Key = plainKey(e.Entity)
			}
		}
		if err := r.give(p); err != nil {
			return err
		}
	}
	return nil
}
