package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/tailrace/tailrace/internal/embedded/postgres"
	"github.com/tailrace/tailrace/internal/embedded/real"
)

// connectorOf is the configuration of Debezium for a slot.
func (s *stage) connectorOf(to logs, name, slot string, more map[string]string) map[string]string {
	config := real.AvroConverter(to.registry)
	maps.Copy(config, map[string]string{
		"connector.class": real.DebeziumConnector, "plugin.name": "pgoutput", "tasks.max": "1",
		"database.hostname": "127.0.0.1", "database.port": strconv.Itoa(s.rig.postgres.Port()), "database.user": postgres.User, "database.password": postgres.Password, "database.dbname": s.name,
		"topic.prefix": name, "slot.name": slot, "publication.name": "bench", "publication.autocreate.mode": "disabled", "snapshot.mode": "no_data",
	})
	maps.Copy(config, more)
	return config
}

// tuned are the settings with which Debezium moved most rows.
func tuned() map[string]string {
	return map[string]string{
		"max.batch.size": "20480", "max.queue.size": "81920",
		"producer.override.linger.ms": "20", "producer.override.batch.size": "524288", "producer.override.compression.type": "lz4",
	}
}

// debezium publishes what is behind the slot, by a Kafka Connect of this run
// alone. The clock begins when it reads from its slot, and so does its CPU time:
// the start of Java does not count.
func (s *stage) debezium() contender {
	return contender{"debezium", func(ctx context.Context, m *meter) error {
		defer m.close()
		to, err := m.real(ctx)
		if err != nil {
			return err
		}
		slot, err := s.copySlot(ctx)
		if err != nil {
			return err
		}
		defer s.dropSlot(slot)
		t, err := makeTopics(ctx, to.brokers, slot, s.tables)
		if err != nil {
			return err
		}
		defer t.drop()
		reached, err := t.await(ctx)
		if err != nil {
			return err
		}
		defer reached.close()
		c, err := m.connect(ctx, slot)
		if err != nil {
			return err
		}
		defer c.Kill()
		if err := c.Create(ctx, slot, s.connectorOf(to, slot, slot, tuned())); err != nil {
			return err
		}
		pid, err := s.reader(ctx, slot, nil)
		if err != nil {
			_, why := c.Running(ctx, slot)
			return errors.Join(err, why)
		}
		if err := errors.Join(m.begin(), m.watch(roleWalsender, pid, true), m.watch(roleClient, c.Pid(), false), m.watch(roleBroker, to.pid, false)); err != nil {
			return err
		}
		at, err := awaitMark(ctx, c, slot, reached)
		if err != nil {
			return err
		}
		select {
		case m.half = <-reached.half:
		default:
		}
		if err := m.end(at, s.rows); err != nil {
			return err
		}
		return t.verify(ctx, s.count)
	}}
}

// awaitMark returns the time of the last mark.
func awaitMark(ctx context.Context, c *real.Connect, name string, reached *marks) (time.Time, error) {
	for {
		select {
		case at := <-reached.finish:
			return at, nil
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-time.After(time.Second):
			if _, err := c.Running(ctx, name); err != nil {
				return time.Time{}, fmt.Errorf("watch Debezium: %w", err)
			}
		}
	}
}
