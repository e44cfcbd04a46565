package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailrace/tailrace/internal/embedded/postgres"
	"github.com/tailrace/tailrace/internal/embedded/real"
)

// filled is a topic of Apache Kafka that holds what is behind a stage's slot. Each
// run reads it with a consumer group of its own into a database of its own.
type filled struct {
	*stage
	to     logs
	topics *topics
	floor  floor
}

// lastRow is the id of a row that is inserted after all others.
const lastRow = 0

// fill publishes what is behind the slot, and a last row, to a topic that stays.
func (s *stage) fill(ctx context.Context) (f *filled, err error) {
	if err := s.exec(ctx, "INSERT INTO items VALUES ("+items(fmt.Sprintf("%d::bigint", lastRow))+")"); err != nil {
		return nil, err
	}
	s.inserts, s.rows, s.count = s.inserts+1, s.rows+1, s.count+1
	if err := s.finish(ctx); err != nil {
		return nil, err
	}
	to, err := s.rig.real(ctx)
	if err != nil {
		return nil, err
	}
	slot, err := s.copySlot(ctx)
	if err != nil {
		return nil, err
	}
	defer s.dropSlot(slot)
	t, err := makeTopics(ctx, to.brokers, slot, s.tables)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.drop()
		}
	}()
	reached, err := t.await(ctx)
	if err != nil {
		return nil, err
	}
	defer reached.close()
	p, err := s.relayRun(to, slot, slot, exactly)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	select {
	case <-reached.finish:
	case <-p.Done():
		return nil, p.ended()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return &filled{stage: s, to: to, topics: t, floor: s.floor()}, t.verify(ctx, s.count)
}

// floor is what the server does at least for these changes: rows that lie ready in
// tables beside the target are moved into it, a statement for each kind of change.
type floor struct{ prepare, move []string }

func (s *stage) floor() floor {
	const upsert = ` ON CONFLICT (id) DO UPDATE SET account = excluded.account, amount = excluded.amount, note = excluded.note, at = excluded.at`
	rows := items("i") + fmt.Sprintf(" FROM generate_series(0::bigint, %d) i", s.inserts-1)
	f := floor{
		prepare: []string{"CREATE TABLE inserted (LIKE items)", "INSERT INTO inserted SELECT " + rows},
		move:    []string{"INSERT INTO items SELECT * FROM inserted" + upsert},
	}
	if s.deletes > 0 {
		f.prepare = append(f.prepare, "CREATE TABLE updated (LIKE items)", "CREATE TABLE deleted (id bigint)",
			fmt.Sprintf("INSERT INTO updated SELECT %s ORDER BY random() LIMIT %d", rows, s.rows-s.inserts-s.deletes),
			fmt.Sprintf("INSERT INTO deleted SELECT generate_series(1, %d)", s.deletes))
		f.move = append(f.move, "INSERT INTO items SELECT * FROM updated"+upsert, "DELETE FROM items USING deleted WHERE items.id = deleted.id")
	}
	f.prepare = append(f.prepare, "VACUUM ANALYZE", "CHECKPOINT")
	return f
}

// target is a database with an empty table items.
type target struct {
	name, url string
	conn      *pgx.Conn
	rig       *rig
}

func (r *rig) target(ctx context.Context) (*target, error) {
	t := &target{name: r.name(), rig: r}
	var err error
	if t.url, err = r.database(ctx, t.name); err != nil {
		return nil, err
	}
	if t.conn, err = pgx.Connect(ctx, t.url); err == nil {
		_, err = t.conn.Exec(ctx, itemsSQL+"CHECKPOINT", pgx.QueryExecModeSimpleProtocol)
	}
	if err != nil {
		t.drop()
		return nil, err
	}
	return t, nil
}

func (t *target) drop() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if t.conn != nil {
		_ = t.conn.Close(ctx)
	}
	if err := t.rig.postgres.DropDatabase(ctx, t.name); err != nil {
		t.rig.fail("cleaning up", "database "+t.name, err)
	}
}

// await returns the time at which the last row was seen. healthy is asked now and
// then.
func (t *target) await(ctx context.Context, healthy func() error) (time.Time, error) {
	for n := 1; ; n++ {
		var there bool
		if err := t.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM items WHERE id = $1)", lastRow).Scan(&there); err != nil || there {
			return time.Now(), err
		}
		if n%50 == 0 {
			if err := healthy(); err != nil {
				return time.Time{}, err
			}
		}
		if !pause(ctx, 20*time.Millisecond) {
			return time.Time{}, fmt.Errorf("the last row does not come: %w", ctx.Err())
		}
	}
}

// verify compares the rows with the source's.
func (t *target) verify(ctx context.Context, s *stage) error {
	const sum = "SELECT count(*), coalesce(sum(hashtextextended(i::text, 0)), 0)::text FROM (SELECT id, account, amount, note, at FROM items) i"
	var n, m int64
	var a, b string
	if err := errors.Join(s.conn.QueryRow(ctx, sum).Scan(&n, &a), t.conn.QueryRow(ctx, sum).Scan(&m, &b)); err != nil {
		return err
	}
	if n != m || a != b {
		return fmt.Errorf("%d rows with sum %s have arrived, want %d with %s", m, b, n, a)
	}
	return nil
}

const processorYAML = `name: %[1]s
kafka: {brokers: [%[2]s]}
registry: {url: %[3]s}
source: {topics: [%[4]s]}
sink:
  postgres: {url: %[5]s, schema: %[6]s}
ops: {listen: ""}
`

func (r *rig) processorRun(to logs, name, topic, url, schema string) (*program, error) {
	return r.processorWith(name, fmt.Sprintf(processorYAML, name, to.brokers, to.registry, topic, url, schema))
}

// processorWith starts the processor with a configuration.
func (r *rig) processorWith(name, text string) (*program, error) {
	file := filepath.Join(r.dir, name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return r.start(name, r.profiled(name), filepath.Join(r.o.bin, "processor"), "run", "-c", file, "--log-format", "text")
}

// processor is ours. The clock begins before it is started. Under schema: add, the
// default, it gives the table its two columns of versions; under none they go to a
// table beside it.
func (f *filled) processor(label, schema string) contender {
	return contender{label, func(ctx context.Context, m *meter) error {
		defer m.close()
		t, err := m.target(ctx)
		if err != nil {
			return err
		}
		defer t.drop()
		if err := errors.Join(m.begin(), m.watch(roleBroker, f.to.pid, false)); err != nil {
			return err
		}
		p, err := m.processorRun(f.to, t.name, f.topics.topic("items"), t.url, schema)
		if err != nil {
			return err
		}
		defer m.stopProfiled(p)
		if err := m.watch(roleClient, p.Pid(), true); err != nil {
			return err
		}
		at, err := t.await(ctx, func() error {
			select {
			case <-p.Done():
				return p.ended()
			default:
				return nil
			}
		})
		if err != nil {
			return err
		}
		return errors.Join(m.end(at, f.rows), t.verify(ctx, f.stage))
	}}
}

// jdbc is Debezium's JDBC sink in a Kafka Connect of this run alone. The clock
// begins when Connect, which runs, is given the connector.
func (f *filled) jdbc() contender {
	return contender{"jdbc sink", func(ctx context.Context, m *meter) error {
		defer m.close()
		t, err := m.target(ctx)
		if err != nil {
			return err
		}
		defer t.drop()
		c, err := m.connect(ctx, t.name)
		if err != nil {
			return err
		}
		defer c.Kill()
		config := real.AvroConverter(f.to.registry)
		maps.Copy(config, map[string]string{
			"connector.class": real.JDBCSinkConnector, "tasks.max": "1", "topics": f.topics.topic("items"),
			"connection.url":      strings.Replace(strings.Replace(t.url, "postgres://", "jdbc:postgresql://", 1), postgres.User+":"+postgres.Password+"@", "", 1),
			"connection.username": postgres.User, "connection.password": postgres.Password,
			"collection.name.format": "items", "schema.evolution": "none", "primary.key.mode": "record_key", "insert.mode": "upsert", "delete.enabled": "true",
			"use.reduction.buffer": "true", "batch.size": "5000",
			"consumer.override.isolation.level": "read_committed", "consumer.override.auto.offset.reset": "earliest",
			"consumer.override.max.poll.records": "5000",
		})
		if err := errors.Join(m.begin(), m.watch(roleBroker, f.to.pid, false), m.watch(roleClient, c.Pid(), false), c.Create(ctx, t.name, config)); err != nil {
			return err
		}
		at, err := t.await(ctx, func() error { _, err := c.Running(ctx, t.name); return err })
		if err != nil {
			return err
		}
		return errors.Join(m.end(at, f.rows), t.verify(ctx, f.stage))
	}}
}

// inServer is the floor.
func (f *filled) inServer() contender {
	return contender{"INSERT … SELECT", func(ctx context.Context, m *meter) error {
		defer m.close()
		t, err := m.target(ctx)
		if err != nil {
			return err
		}
		defer t.drop()
		for _, sql := range f.floor.prepare {
			if _, err := t.conn.Exec(ctx, sql); err != nil {
				return err
			}
		}
		if err := m.begin(); err != nil {
			return err
		}
		for _, sql := range f.floor.move {
			if _, err := t.conn.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return m.end(time.Now(), f.rows)
	}}
}
