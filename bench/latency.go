package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tailrace/tailrace/internal/embedded/real"
)

// warm is how many seconds of a latency run do not count: Java compiles while it
// runs.
const warm = 10

// clocked runs the load generator to its end. topic "" is without a consumer.
func (m *meter) clocked(ctx context.Context, s *stage, to logs, topic string) (c clocked, err error) {
	if err := m.begin(); err != nil {
		return c, err
	}
	p, err := m.startPart(m.name(), "clock", "--url", s.url, "--brokers", to.brokers, "--topic", topic,
		"--rate", strconv.Itoa(m.o.rate), "--seconds", strconv.Itoa(m.o.seconds), "--warm", strconv.Itoa(warm))
	if err != nil {
		return c, err
	}
	defer p.stop()
	if err := p.read(ctx, &c); err != nil {
		return c, err
	}
	m.result.Latency = c.Latency
	return c, nil
}

// timely runs one contender under the load generator. start begins to stream from
// a slot, and returns what ends it.
func (s *stage) timely(label string, start func(ctx context.Context, m *meter, to logs, slot string) (stop func(), err error)) contender {
	return contender{label, func(ctx context.Context, m *meter) error {
		defer m.close()
		to, err := m.real(ctx)
		if err != nil {
			return err
		}
		if err := s.empty(ctx); err != nil {
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
		stop, err := start(ctx, m, to, slot)
		if err != nil {
			return err
		}
		defer stop()
		if err := m.watch(roleBroker, to.pid, false); err != nil {
			return err
		}
		if _, err := m.clocked(ctx, s, to, t.topic("items")); err != nil {
			return err
		}
		return m.end(time.Now(), int64(m.o.rate*(m.o.seconds+warm)))
	}}
}

// empty moves the slot of the stage to now, and removes the rows of the run before.
func (s *stage) empty(ctx context.Context) error {
	return s.exec(ctx, "TRUNCATE items", fmt.Sprintf("SELECT pg_drop_replication_slot('%s_base')", s.name),
		fmt.Sprintf("SELECT pg_create_logical_replication_slot('%s_base', 'pgoutput')", s.name), "CHECKPOINT")
}

// relayTimely is the relay's latency.
func (s *stage) relayTimely(delivery string) contender {
	return s.timely(delivery, func(ctx context.Context, m *meter, to logs, slot string) (func(), error) {
		p, err := s.relayRun(to, slot, slot, delivery)
		if err != nil {
			return nil, err
		}
		stop := func() { m.stopProfiled(p) }
		pid, err := s.reader(ctx, slot, p.Done())
		if err != nil {
			stop()
			return nil, errors.Join(err, p.ended())
		}
		if err := errors.Join(m.watch(roleWalsender, pid, false), m.watch(roleClient, p.Pid(), false)); err != nil {
			stop()
			return nil, err
		}
		return stop, nil
	})
}

// debeziumTimely is Debezium's latency with its defaults.
func (s *stage) debeziumTimely() contender {
	return s.timely("debezium", func(ctx context.Context, m *meter, to logs, slot string) (func(), error) {
		c, err := m.connect(ctx, slot)
		if err != nil {
			return nil, err
		}
		if err := s.startDebezium(ctx, m, c, to, slot, nil); err != nil {
			c.Kill()
			return nil, err
		}
		return c.Kill, nil
	})
}

// startDebezium returns when Debezium reads from its slot.
func (s *stage) startDebezium(ctx context.Context, m *meter, c *real.Connect, to logs, slot string, more map[string]string) error {
	if err := c.Create(ctx, slot, s.connectorOf(to, slot, slot, more)); err != nil {
		return err
	}
	pid, err := s.reader(ctx, slot, nil)
	if err != nil {
		_, why := c.Running(ctx, slot)
		return errors.Join(err, why)
	}
	return errors.Join(m.watch(roleWalsender, pid, false), m.watch(roleClient, c.Pid(), false))
}

// line is the whole of it: relay, Apache Kafka, processor and another database of
// the same server, from when a row was due to the time of the commit that brought
// it there, as PostgreSQL has noted it.
func (s *stage) line() contender {
	return contender{"relay and processor", func(ctx context.Context, m *meter) error {
		defer m.close()
		to, err := m.real(ctx)
		if err != nil {
			return err
		}
		if err := s.empty(ctx); err != nil {
			return err
		}
		target, err := m.target(ctx)
		if err != nil {
			return err
		}
		defer target.drop()
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
		relay, err := s.relayRun(to, slot, slot, exactly)
		if err != nil {
			return err
		}
		defer m.stopProfiled(relay)
		processor, err := m.processorRun(to, target.name, t.topic("items"), target.url, "add")
		if err != nil {
			return err
		}
		defer m.stopProfiled(processor)
		pid, err := s.reader(ctx, slot, relay.Done())
		if err != nil {
			return errors.Join(err, relay.ended())
		}
		if err := errors.Join(m.watch(roleWalsender, pid, false), m.watch(roleClient, relay.Pid(), false), m.watch(roleSecond, processor.Pid(), false), m.watch(roleBroker, to.pid, false)); err != nil {
			return err
		}
		c, err := m.clocked(ctx, s, to, "")
		if err != nil {
			return err
		}
		if err := target.awaitRows(ctx, c.Rows); err != nil {
			return err
		}
		if err := m.end(time.Now(), c.Rows); err != nil {
			return err
		}
		m.result.Latency, err = target.latencies(ctx, c, m.o.rate)
		return err
	}}
}

// awaitRows returns when so many rows have come.
func (t *target) awaitRows(ctx context.Context, want int64) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var n int64
		if err := t.conn.QueryRow(ctx, "SELECT count(*) FROM items").Scan(&n); err != nil {
			return err
		}
		if n >= want {
			return nil
		}
		if !pause(ctx, 200*time.Millisecond) {
			return fmt.Errorf("%d of %d rows have arrived: %w", n, want, ctx.Err())
		}
	}
}

// latencies are those of all rows but the first, by the commit times of the target.
func (t *target) latencies(ctx context.Context, c clocked, rate int) (*latency, error) {
	rows, err := t.conn.Query(ctx, `SELECT (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint - ($1::bigint + (id - 1) * $2::bigint) FROM items WHERE id > $3`,
		c.Begin, time.Second.Microseconds()/int64(rate), warm*rate)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var took []float64
	for rows.Next() {
		var us int64
		if err := rows.Scan(&us); err != nil {
			return nil, err
		}
		took = append(took, float64(us)/1000)
	}
	return newLatency(took), rows.Err()
}
