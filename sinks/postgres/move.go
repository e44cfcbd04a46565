package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/sinks"
)

var _ sinks.Mover = (*Sink)(nil)

// Standing reads the pipeline's offset rows, as one snapshot.
func (s *Sink) Standing(ctx context.Context) ([]sinks.Claim, error) {
	fail := func(err error) ([]sinks.Claim, error) {
		return nil, judge(fmt.Errorf("read the offsets of pipeline %s: %w", s.cfg.Pipeline, err))
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	conn, err := s.pool.acquire(ctx)
	if err != nil {
		return fail(err)
	}
	defer s.pool.release(conn)
	rows, err := conn.Query(ctx, `SELECT topic, partition, epoch, next_offset, topic_id, generation, note FROM `+s.state+`.offsets WHERE pipeline = $1 ORDER BY topic, partition`, s.cfg.Pipeline)
	if err != nil {
		return fail(err)
	}
	claims, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c sinks.Claim, err error) {
		return c, row.Scan(&c.Topic, &c.Number, &c.Epoch, &c.Next, &c.ID, &c.Generation, &c.Note)
	})
	if err != nil {
		return fail(err)
	}
	for i := range claims {
		if claims[i].Parked, err = s.parked(ctx, conn, claims[i].Partition); err != nil {
			return fail(err)
		}
	}
	return claims, nil
}

// Move sets offset rows in one transaction. It waits for a batch that an owner has
// under way, and that one's offset is then not the expected one any more.
func (s *Sink) Move(ctx context.Context, moves []sinks.Move) error {
	conn, err := s.pool.acquire(ctx)
	if err != nil {
		return judge(fmt.Errorf("set pipeline %s to other offsets: %w", s.cfg.Pipeline, err))
	}
	defer s.pool.release(conn)
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for i := range moves {
			m, c := &moves[i], moves[i].Claim
			tag, err := tx.Exec(ctx, `UPDATE `+s.state+`.offsets SET epoch = epoch + 1, next_offset = $6, generation = $7, note = $8
				WHERE pipeline = $1 AND topic = $2 AND partition = $3 AND epoch = $4 AND next_offset = $5`,
				s.cfg.Pipeline, c.Topic, c.Number, c.Epoch, c.Next, m.Next, m.Generation, m.Note)
			if err != nil {
				return err
			}
			if tag.RowsAffected() != 1 {
				return fmt.Errorf("%s/%d: %w", c.Topic, c.Number, sinks.ErrFenced)
			}
			keys := make([][]byte, len(m.Unpark))
			for j := range m.Unpark {
				keys[j] = m.Unpark[j][:]
			}
			if _, err := tx.Exec(ctx, `DELETE FROM `+s.state+`.parked WHERE pipeline = $1 AND topic = $2 AND partition = $3 AND key = ANY ($4)`,
				s.cfg.Pipeline, c.Topic, c.Number, keys); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return judge(fmt.Errorf("set pipeline %s to other offsets: %w", s.cfg.Pipeline, err))
	}
	return nil
}
