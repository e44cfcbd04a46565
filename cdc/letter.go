package cdc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"time"
	"unicode/utf8"
)

// letter is a dead letter on its way into its topic. Its text is written as it
// comes, since it can be longer than what there is memory for: whole where it is no
// longer than max_row, else in parts, which are records of one key, one partition and
// one position in their order. Put one after the other, their values are the text.
//
// What can go wrong: a Kafka transaction ends between two parts, and the relay is
// killed. The change was not counted, so the next run begins again with part 1: a
// first part begins the letter anew, and only one with the header dlq.parts ends it.
// That last part is in one transaction with the progress that counts the change.
type letter struct {
	relay *Relay
	ctx   context.Context // of the call that writes it
	topic string
	head  letterHead

	partitions int32
	whole      int // bytes up to which it is held for one record
	buf        []byte
	part       int
	key        []byte
	partition  int32
	sum        hash.Hash
	size       int64
	rest       []byte // the beginning of a character whose end has not come
}

// letterHead is what the headers of a letter say, and where it goes.
type letterHead struct {
	class   string
	message string
	pos     Position
	op      Op
	schema  string
	table   string
	// key appends the record key, asked when the first part is written; false: it is
	// not known then.
	key func(dst []byte) ([]byte, bool)
}

func (h *letterHead) name() string {
	if h.schema == "" {
		return h.table
	}
	return h.schema + "." + h.table
}

// partBytes is how long a part is: it fits into a topic with Kafka's own limit.
const partBytes = 512 << 10

// newLetter begins a letter: an object whose first members say which change it is.
func (r *Relay) newLetter(ctx context.Context, topic string, h letterHead) (*letter, error) {
	partitions, err := r.Log.Topic(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("dead-letter topic: %w", err)
	}
	l := &letter{relay: r, ctx: ctx, topic: topic, head: h, partitions: partitions, whole: r.Config.MaxRow, sum: sha256.New()}
	l.raw(`{"schema":`)
	l.quote(h.schema)
	l.raw(`,"table":`)
	l.quote(h.table)
	l.raw(`,"op":`)
	l.quote(h.op.String())
	l.raw(`,"position":`)
	l.quote(h.pos.String())
	return l, nil
}

func (l *letter) raw(s string) { l.buf = append(l.buf, s...) }

// quote writes a whole string.
func (l *letter) quote(s string) {
	l.raw(`"`)
	l.piece([]byte(s))
	l.close()
}

// text writes a piece of a string, between raw(`"`) and close.
func (l *letter) text(p []byte) error {
	const most = 64 << 10
	for len(p) > 0 {
		n := min(len(p), most)
		l.piece(p[:n])
		p = p[n:]
		if err := l.flow(); err != nil {
			return err
		}
	}
	return nil
}

// piece escapes what JSON wants escaped. What is no UTF-8 becomes U+FFFD; the
// beginning of a character waits for its end.
func (l *letter) piece(p []byte) {
	if len(l.rest) > 0 {
		p = append(l.rest, p...)
		l.rest = nil
	}
	start := 0
	for i := 0; i < len(p); {
		ch := p[i]
		if ch >= 0x20 && ch != '"' && ch != '\\' && ch < utf8.RuneSelf {
			i++
			continue
		}
		if ch >= utf8.RuneSelf {
			if !utf8.FullRune(p[i:]) {
				l.buf = append(l.buf, p[start:i]...)
				l.rest = append([]byte(nil), p[i:]...)
				return
			}
			r, n := utf8.DecodeRune(p[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		l.buf = append(l.buf, p[start:i]...)
		switch {
		case ch >= utf8.RuneSelf:
			l.raw("\uFFFD")
		case ch == '"' || ch == '\\':
			l.buf = append(l.buf, '\\', ch)
		case ch == '\n':
			l.raw(`\n`)
		case ch == '\r':
			l.raw(`\r`)
		case ch == '\t':
			l.raw(`\t`)
		default:
			l.buf = fmt.Appendf(l.buf, `\u%04x`, ch)
		}
		i++
		start = i
	}
	l.buf = append(l.buf, p[start:]...)
}

// close ends a string.
func (l *letter) close() {
	for range l.rest {
		l.raw("\uFFFD")
	}
	l.rest = nil
	l.raw(`"`)
}

// value writes a column's value, or nothing where the WAL does not carry it.
func (l *letter) value(t *Table, i int, v Value, first *bool) error {
	if v.State != Text && v.State != Null {
		return nil
	}
	l.name(t, i, first)
	if v.State == Null {
		l.raw("null")
		return nil
	}
	l.raw(`"`)
	if err := l.text(v.Data); err != nil {
		return err
	}
	l.close()
	return nil
}

// name writes a member's name.
func (l *letter) name(t *Table, i int, first *bool) {
	if !*first {
		l.raw(",")
	}
	*first = false
	l.quote(t.Columns[i].Name)
	l.raw(":")
}

// row writes a row as a member.
func (l *letter) row(name string, t *Table, row []Value) error {
	l.raw(`,"` + name + `":`)
	if row == nil {
		l.raw("null")
		return nil
	}
	l.raw("{")
	first := true
	for i, v := range row {
		if err := l.value(t, i, v, &first); err != nil {
			return err
		}
	}
	l.raw("}")
	return l.flow()
}

// keyOf writes the record key as a member; null where the row does not carry it.
func (l *letter) keyOf(t *Table, row []Value) error {
	if !keyKnown(t, row) {
		l.raw(`,"key":null`)
		return nil
	}
	l.raw(`,"key":{`)
	first := true
	for _, i := range t.Key {
		if err := l.value(t, i, row[i], &first); err != nil {
			return err
		}
	}
	l.raw("}")
	return nil
}

// flow writes parts once the letter is too long for one record.
func (l *letter) flow() error {
	if len(l.buf) <= l.whole {
		return nil
	}
	size := min(partBytes, l.relay.Config.MaxRow)
	l.whole = size
	at := 0
	for len(l.buf)-at > size {
		end := at + size
		for end > at+size-utf8.UTFMax && !utf8.RuneStart(l.buf[end]) {
			end-- // no character is cut in two
		}
		if err := l.emit(l.buf[at:end], false); err != nil {
			return err
		}
		at = end
	}
	l.buf = append(l.buf[:0], l.buf[at:]...)
	if cap(l.buf) > 4*partBytes {
		l.buf = append([]byte(nil), l.buf...)
	}
	return nil
}

// end writes what column and reason the letter is about, and the last part.
func (l *letter) end(column, reason string) error {
	l.raw(`,"column":`)
	l.quote(column)
	l.raw(`,"reason":`)
	l.quote(reason)
	l.raw("}")
	if err := l.flow(); err != nil {
		return err
	}
	return l.emit(l.buf, true)
}

// emit appends one record.
func (l *letter) emit(p []byte, last bool) error {
	r, h := l.relay, &l.head
	now := time.Now().UnixNano()
	l.part++
	if l.part == 1 {
		l.partition = Partition([]byte(h.name()), l.partitions)
		if key, known := h.key(nil); known {
			l.key, l.partition = key, r.partition(key, l.partitions, l.partition)
		}
	}
	l.sum.Write(p)
	l.size += int64(len(p))
	if err := r.room(l.ctx, now); err != nil {
		return err
	}
	b := r.batch
	before := len(b.Records)
	if last {
		r.opening()
	}
	rec := Record{Topic: l.topic, Start: len(b.Buf), Partition: l.partition, Key: len(l.key), Value: len(p)}
	b.Buf = append(append(b.Buf, l.key...), p...)
	rec.Pos = b.appended(func(dst []byte) []byte { return h.pos.Append(dst) })
	rec.Extra = []Header{
		{"dlq.class", h.class}, {"dlq.message", h.message}, {"dlq.version", h.pos.String()},
		{"dlq.table", h.name()}, {"dlq.op", h.op.String()},
	}
	if l.part > 1 || !last {
		rec.Extra = append(rec.Extra, l.partHeaders(last)...)
	}
	b.Records = append(b.Records, rec)
	r.open.records += len(b.Records) - before
	if !last && r.due(&Event{Read: now}) {
		return r.commit(l.ctx)
	}
	return nil
}

func (l *letter) partHeaders(last bool) []Header {
	list := []Header{{"dlq.part", strconv.Itoa(l.part)}}
	if l.key == nil {
		list = append(list, Header{"dlq.key", "unknown"}) // before the long value; the letter has it at its end
	}
	if last {
		list = append(list, Header{"dlq.parts", strconv.Itoa(l.part)}, Header{"dlq.bytes", strconv.FormatInt(l.size, 10)},
			Header{"dlq.sha256", hex.EncodeToString(l.sum.Sum(nil))})
	}
	return list
}
