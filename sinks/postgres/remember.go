package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/sinks"
)

var _ sinks.Stateful = (*Sink)(nil)

// maxStateID is how long a key of the state may be before a digest takes its place in
// the index.
const maxStateID = 1024

func stateID(key []byte) []byte {
	if len(key) <= maxStateID {
		return key
	}
	sum := sha256.Sum256(key)
	return sum[:]
}

// remember are the statements that store a batch's state.
func (t *transaction) remember() []*query {
	var gone, ids, keys, values textArray
	removed, kept := 0, 0
	for _, e := range t.batch.State {
		if e.Value == nil {
			gone.add(stateID(e.Key))
			removed++
			continue
		}
		ids.add(stateID(e.Key))
		keys.add(e.Key)
		values.add(e.Value)
		kept++
	}
	var out []*query
	number := int64(t.batch.Claim.Number)
	if removed > 0 {
		out = append(out, newQuery("DELETE FROM "+t.state+".state WHERE pipeline = $1::text AND partition = $2::bigint AND id = ANY ($3::bytea[])").
			text(t.pipeline).bigint(number).byteas(&gone))
	}
	if kept > 0 {
		out = append(out, newQuery("INSERT INTO "+t.state+`.state AS s (pipeline, partition, id, key, value)
			SELECT $1::text, $2::bigint, i, k, v FROM unnest($3::bytea[], $4::bytea[], $5::bytea[]) AS u(i, k, v)
			ON CONFLICT (pipeline, partition, id) DO UPDATE SET value = EXCLUDED.value`).
			text(t.pipeline).bigint(number).byteas(&ids).byteas(&keys).byteas(&values))
	}
	return out
}

// States implements sinks.Stateful.
func (s *Sink) States(ctx context.Context, number int32, take func(key, value []byte) error) error {
	conn, err := s.pool.acquire(ctx)
	if err != nil {
		return judge(fmt.Errorf("read the state of partition %d: %w", number, err))
	}
	defer s.pool.release(conn)
	rows, err := conn.Query(ctx, `SELECT key, value FROM `+s.state+`.state WHERE pipeline = $1 AND partition = $2`, s.cfg.Pipeline, number)
	if err != nil {
		return judge(fmt.Errorf("read the state of partition %d: %w", number, err))
	}
	var key, value []byte
	_, err = pgx.ForEachRow(rows, []any{&key, &value}, func() error {
		err := take(key, value)
		key, value = nil, nil
		return err
	})
	if err != nil {
		return judge(fmt.Errorf("read the state of partition %d: %w", number, err))
	}
	return nil
}
