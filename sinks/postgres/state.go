package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/sinks"
)

// stateTables are made in the state schema when they are missing. {s} stands
// for the schema.
//
// offsets.next_offset is -1 until the first batch; topic_id tells a topic from
// a later one of the same name; generation and note are those of the last batch. parked.key is sinks.ParkKey of the record key,
// parked.last_pos the highest position of its dead letters.
// floors has the position up to which a target has no rows of the pipeline any
// more; sweeps, the sweeps that have come so far, by partition. tombstones.partition is
// that of the delete; expired has the highest position of its tombstones that were
// removed: of rows at or below it that are not known, it is not known any more whether
// they were deleted. state is what steps
// remember, by the number of the partition; its id is the key, or the digest of a long
// one.
const stateTables = `
CREATE TABLE IF NOT EXISTS {s}.offsets (
	pipeline text NOT NULL, topic text NOT NULL, partition integer NOT NULL,
	epoch bigint NOT NULL, next_offset bigint NOT NULL, topic_id text NOT NULL DEFAULT '',
	generation bigint NOT NULL DEFAULT 1, note text NOT NULL DEFAULT '',
	PRIMARY KEY (pipeline, topic, partition));
ALTER TABLE {s}.offsets ADD COLUMN IF NOT EXISTS generation bigint NOT NULL DEFAULT 1, ADD COLUMN IF NOT EXISTS note text NOT NULL DEFAULT '';
CREATE TABLE IF NOT EXISTS {s}.tombstones (
	pipeline text NOT NULL, target text NOT NULL, key text COLLATE "C" NOT NULL,
	generation bigint NOT NULL, pos text COLLATE "C" NOT NULL, expires timestamptz NOT NULL,
	PRIMARY KEY (pipeline, target, key));
ALTER TABLE {s}.tombstones ADD COLUMN IF NOT EXISTS partition integer NOT NULL DEFAULT -1;
CREATE INDEX IF NOT EXISTS tombstones_expires ON {s}.tombstones (expires);
CREATE TABLE IF NOT EXISTS {s}.expired (
	pipeline text NOT NULL, target text NOT NULL, partition integer NOT NULL,
	generation bigint NOT NULL, pos text COLLATE "C" NOT NULL,
	PRIMARY KEY (pipeline, target, partition));
CREATE TABLE IF NOT EXISTS {s}.versions (
	target text NOT NULL, key text COLLATE "C" NOT NULL,
	generation bigint NOT NULL, pos text COLLATE "C" NOT NULL,
	PRIMARY KEY (target, key));
CREATE TABLE IF NOT EXISTS {s}.dead_letters (
	ref bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	pipeline text NOT NULL, topic text NOT NULL, partition integer NOT NULL, record_offset bigint NOT NULL,
	id text NOT NULL, record_time bigint NOT NULL, key bytea, value bytea, headers bytea NOT NULL);
CREATE INDEX IF NOT EXISTS dead_letters_order ON {s}.dead_letters (pipeline, topic, partition, ref);
CREATE TABLE IF NOT EXISTS {s}.parked (
	pipeline text NOT NULL, topic text NOT NULL, partition integer NOT NULL, key bytea NOT NULL,
	class text NOT NULL, first_id text NOT NULL, count bigint NOT NULL,
	since timestamptz NOT NULL DEFAULT now(), last_seen timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (pipeline, topic, partition, key));
ALTER TABLE {s}.parked ADD COLUMN IF NOT EXISTS last_pos text COLLATE "C" NOT NULL DEFAULT '';
CREATE TABLE IF NOT EXISTS {s}.floors (
	pipeline text NOT NULL, target text NOT NULL,
	generation bigint NOT NULL, pos text COLLATE "C" NOT NULL,
	PRIMARY KEY (pipeline, target));
CREATE TABLE IF NOT EXISTS {s}.sweeps (
	pipeline text NOT NULL, target text NOT NULL, topic text NOT NULL, partition integer NOT NULL,
	generation bigint NOT NULL, pos text COLLATE "C" NOT NULL,
	PRIMARY KEY (pipeline, target, topic, partition));
CREATE TABLE IF NOT EXISTS {s}.state (
	pipeline text NOT NULL, partition integer NOT NULL, id bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL,
	PRIMARY KEY (pipeline, partition, id));
`

// stateNames are the tables of stateTables.
var stateNames = []string{"offsets", "tombstones", "versions", "dead_letters", "parked", "floors", "sweeps", "state", "expired"}

// prepare makes the state schema and its tables, once per process. An existing
// set is left alone, so that no right to create is needed.
func (s *Sink) prepare(ctx context.Context) error {
	s.prepareMu.Lock()
	defer s.prepareMu.Unlock()
	if s.prepared {
		return nil
	}
	conn, err := s.pool.acquire(ctx)
	if err != nil {
		return judge(fmt.Errorf("prepare schema %s: %w", s.state, err))
	}
	defer s.pool.release(conn)
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var found, latest int
		err := tx.QueryRow(ctx, `SELECT count(DISTINCT c.oid), count(a) FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND c.relname = 'parked' AND a.attname = 'last_pos' AND NOT a.attisdropped
			WHERE c.relnamespace = to_regnamespace($1) AND c.relname = ANY ($2) AND c.relkind IN ('r', 'p')`,
			s.state, stateNames).Scan(&found, &latest)
		if err != nil || found == len(stateNames) && latest == 1 {
			return err
		}
		if _, err := tx.Exec(ctx, ddlLock); err != nil {
			return err
		}
		if err := createSchema(ctx, tx, s.state); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, strings.ReplaceAll(stateTables, "{s}", s.state))
		return err
	})
	if err != nil {
		return judge(fmt.Errorf("prepare schema %s: %w", s.state, err))
	}
	s.prepared = true
	return nil
}

// Claim raises the partition's epoch and reads its offset in one statement. The
// statement waits for the row lock that a batch of the former owner holds, so it
// reads what that batch left; when it waits too long, the error names the
// session that blocks it.
func (s *Sink) Claim(ctx context.Context, p sinks.Partition) (sinks.Claim, error) {
	if err := s.prepare(ctx); err != nil {
		return sinks.Claim{}, err
	}
	return s.claim(ctx, p, `INSERT INTO `+s.state+`.offsets AS o (pipeline, topic, partition, epoch, next_offset, topic_id, generation)
		SELECT $1::text, $2::text, $3::integer, 1, -1, $4::text, coalesce(max(generation), 1) FROM `+s.state+`.offsets WHERE pipeline = $1::text
		ON CONFLICT (pipeline, topic, partition) DO UPDATE SET epoch = o.epoch + 1, topic_id = CASE o.topic_id WHEN '' THEN EXCLUDED.topic_id ELSE o.topic_id END
		RETURNING epoch, next_offset, topic_id, generation, note`, s.cfg.Pipeline, p.Topic, p.Number, p.ID)
}

// Reclaim is Claim for an owner that lost its connection while it committed. It
// waits for the lost session to end.
func (s *Sink) Reclaim(ctx context.Context, c sinks.Claim) (sinks.Claim, error) {
	return s.claim(ctx, c.Partition, `UPDATE `+s.state+`.offsets SET epoch = epoch + 1 WHERE pipeline = $1 AND topic = $2 AND partition = $3 AND epoch = $4
		RETURNING epoch, next_offset, topic_id, generation, note`, s.cfg.Pipeline, c.Topic, c.Number, c.Epoch)
}

func (s *Sink) claim(ctx context.Context, p sinks.Partition, sql string, args ...any) (sinks.Claim, error) {
	conn, err := s.pool.acquire(ctx)
	if err != nil {
		return sinks.Claim{}, judge(fmt.Errorf("claim %s/%d: %w", p.Topic, p.Number, err))
	}
	defer s.pool.release(conn)
	c := sinks.Claim{Partition: p}
	watch := s.watchBlockers(ctx, conn.PgConn().PID(), p)
	err = conn.QueryRow(ctx, sql, args...).Scan(&c.Epoch, &c.Next, &c.ID, &c.Generation, &c.Note)
	watch()
	if errors.Is(err, pgx.ErrNoRows) {
		return sinks.Claim{}, sinks.ErrFenced
	}
	if err == nil {
		c.Parked, err = s.parked(ctx, conn, p)
	}
	if err == nil {
		err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+s.state+`.dead_letters WHERE pipeline = $1 AND topic = $2 AND partition = $3)`,
			s.cfg.Pipeline, p.Topic, p.Number).Scan(&c.Backlog)
	}
	if err != nil {
		if outdated(err) {
			s.prepareMu.Lock()
			s.prepared = false
			s.prepareMu.Unlock()
		}
		return sinks.Claim{}, judge(fmt.Errorf("claim %s/%d: %w", p.Topic, p.Number, err))
	}
	return c, nil
}

func (s *Sink) parked(ctx context.Context, conn *pgx.Conn, p sinks.Partition) ([]sinks.Park, error) {
	rows, err := conn.Query(ctx, `SELECT key, class, first_id, count, last_pos FROM `+s.state+`.parked WHERE pipeline = $1 AND topic = $2 AND partition = $3`,
		s.cfg.Pipeline, p.Topic, p.Number)
	if err != nil {
		return nil, err
	}
	var out []sinks.Park
	var key []byte
	var park sinks.Park
	_, err = pgx.ForEachRow(rows, []any{&key, &park.Class, &park.FirstID, &park.Count, &park.Last}, func() error {
		copy(park.Key[:], key)
		out = append(out, park)
		return nil
	})
	return out, err
}
