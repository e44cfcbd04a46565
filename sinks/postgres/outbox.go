package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/sinks"
)

// letters is the statement that stores a batch's dead letters, in order.
func (t *transaction) letters() *query {
	var offsets, times []int64
	var ids, keys, values, headers textArray
	nullable := func(a *textArray, b []byte) {
		if b == nil {
			a.addNull()
		} else {
			a.add(b)
		}
	}
	for _, d := range t.batch.DeadLetters {
		offsets, times = append(offsets, d.Offset), append(times, d.Timestamp.UnixMilli())
		ids.addString(d.ID)
		nullable(&keys, d.Key)
		nullable(&values, d.Value)
		headers.add(encodeHeaders(d.Headers))
	}
	return newQuery("INSERT INTO " + t.state + `.dead_letters (pipeline, topic, partition, record_offset, id, record_time, key, value, headers)
		SELECT $1::text, $2::text, $3::bigint, o, id, ts, k, v, h FROM unnest($4::bigint[], $5::text[], $6::bigint[], $7::bytea[], $8::bytea[], $9::bytea[]) WITH ORDINALITY AS u(o, id, ts, k, v, h, n) ORDER BY n`).
		text(t.pipeline).text(t.batch.Claim.Topic).bigint(int64(t.batch.Claim.Number)).
		bigints(offsets).texts(&ids).bigints(times).byteas(&keys).byteas(&values).byteas(&headers)
}

// park is the statement that sets markers.
func (t *transaction) park() *query {
	var keys, classes, ids, lasts textArray
	var counts []int64
	for _, p := range t.batch.Park {
		keys.add(p.Key[:])
		classes.addString(string(p.Class))
		ids.addString(p.FirstID)
		lasts.addString(p.Last)
		counts = append(counts, p.Count)
	}
	return newQuery("INSERT INTO " + t.state + `.parked AS p (pipeline, topic, partition, key, class, first_id, count, last_pos)
		SELECT $1::text, $2::text, $3::bigint, k, c, i, n, l FROM unnest($4::bytea[], $5::text[], $6::text[], $7::bigint[], $8::text[]) AS u(k, c, i, n, l)
		ON CONFLICT (pipeline, topic, partition, key) DO UPDATE SET class = EXCLUDED.class, first_id = EXCLUDED.first_id, count = EXCLUDED.count, last_pos = EXCLUDED.last_pos, last_seen = now()`).
		text(t.pipeline).text(t.batch.Claim.Topic).bigint(int64(t.batch.Claim.Number)).
		byteas(&keys).texts(&classes).texts(&ids).bigints(counts).texts(&lasts)
}

// unpark is the statement that clears markers.
func (t *transaction) unpark() *query {
	var keys textArray
	for i := range t.batch.Unpark {
		keys.add(t.batch.Unpark[i][:])
	}
	return newQuery("DELETE FROM " + t.state + `.parked WHERE pipeline = $1::text AND topic = $2::text AND partition = $3::bigint AND key = ANY ($4::bytea[])`).
		text(t.pipeline).text(t.batch.Claim.Topic).bigint(int64(t.batch.Claim.Number)).byteas(&keys)
}

// Undelivered reads dead letters of a claimed partition. The claim is part of
// the query: an owner that was replaced gets none, so that the new one alone
// keeps their order.
func (s *Sink) Undelivered(ctx context.Context, c sinks.Claim, limit int) ([]sinks.DeadLetter, error) {
	conn, err := s.pool.acquire(ctx)
	if err != nil {
		return nil, judge(fmt.Errorf("read dead letters of %s/%d: %w", c.Topic, c.Number, err))
	}
	defer s.pool.release(conn)
	rows, err := conn.Query(ctx, `SELECT d.ref, d.id, d.record_offset, d.record_time, d.key, d.value, d.headers
		FROM `+s.state+`.dead_letters d JOIN `+s.state+`.offsets o USING (pipeline, topic, partition)
		WHERE d.pipeline = $1 AND d.topic = $2 AND d.partition = $3 AND o.epoch = $4 ORDER BY d.ref LIMIT $5`,
		s.cfg.Pipeline, c.Topic, c.Number, c.Epoch, limit)
	if err != nil {
		return nil, judge(fmt.Errorf("read dead letters of %s/%d: %w", c.Topic, c.Number, err))
	}
	letters, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (sinks.DeadLetter, error) {
		d := sinks.DeadLetter{Record: sinks.Record{Topic: c.Topic, Partition: c.Number}}
		var ms int64
		var headers []byte
		if err := row.Scan(&d.Ref, &d.ID, &d.Offset, &ms, &d.Key, &d.Value, &headers); err != nil {
			return d, err
		}
		d.Timestamp = time.UnixMilli(ms)
		var err error
		d.Headers, err = decodeHeaders(headers)
		return d, err
	})
	if err != nil {
		return nil, judge(fmt.Errorf("read dead letters of %s/%d: %w", c.Topic, c.Number, err))
	}
	return letters, nil
}

// Delivered removes dead letters that the topic has acknowledged.
func (s *Sink) Delivered(ctx context.Context, c sinks.Claim, letters []sinks.DeadLetter) error {
	refs := make([]int64, len(letters))
	for i, d := range letters {
		refs[i] = d.Ref
	}
	conn, err := s.pool.acquire(ctx)
	if err != nil {
		return judge(fmt.Errorf("remove dead letters of %s/%d: %w", c.Topic, c.Number, err))
	}
	defer s.pool.release(conn)
	if _, err := conn.Exec(ctx, `DELETE FROM `+s.state+`.dead_letters WHERE pipeline = $1 AND ref = ANY ($2)`, s.cfg.Pipeline, refs); err != nil {
		return judge(fmt.Errorf("remove dead letters of %s/%d: %w", c.Topic, c.Number, err))
	}
	return nil
}

// storedHeader is a header in the outbox: JSON with names as text where they
// are, so that people can read them, and values in base64.
type storedHeader struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
	Raw   bool   `json:"raw,omitempty"` // Name is quoted as Go does: it is not valid UTF-8
}

func encodeHeaders(headers []sinks.Header) []byte {
	stored := make([]storedHeader, len(headers))
	for i, h := range headers {
		stored[i] = storedHeader{Name: h.Name, Value: h.Value}
		if !utf8.ValidString(h.Name) {
			stored[i].Name, stored[i].Raw = strconv.QuoteToASCII(h.Name), true
		}
	}
	b, err := json.Marshal(stored)
	if err != nil {
		panic(err) // texts and bytes always have a JSON form
	}
	return b
}

func decodeHeaders(b []byte) ([]sinks.Header, error) {
	var stored []storedHeader
	if err := json.Unmarshal(b, &stored); err != nil {
		return nil, fmt.Errorf("headers of a dead letter: %w", err)
	}
	headers := make([]sinks.Header, len(stored))
	for i, h := range stored {
		if h.Raw {
			name, err := strconv.Unquote(h.Name)
			if err != nil {
				return nil, fmt.Errorf("headers of a dead letter: %w", err)
			}
			h.Name = name
		}
		headers[i] = sinks.Header{Name: h.Name, Value: h.Value}
	}
	return headers, nil
}
