package oracle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/internal/embedded/pgtest"
	"github.com/tailrace/tailrace/internal/embedded/real"
	"github.com/tailrace/tailrace/test/program"
)

// session is the seeds of one profile on their database.
type session struct {
	t         *testing.T
	w         *world
	name      string // topic prefix, connector and database
	url       string
	profile   *profile
	scenarios []*scenario
	conn      *pgx.Conn
	markers   int
	relay     *program.Process
	runRelay  func() *program.Process
}

// patience is how long both may take until they have published what is there.
const patience = 3 * time.Minute

func newSession(t *testing.T, w *world, p *profile, scenarios []*scenario) *session {
	t.Helper()
	s := &session{t: t, w: w, profile: p, scenarios: scenarios, url: pgtest.NewDatabase(t)}
	conn, err := pgx.Connect(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	s.conn, s.name = conn, "dbz_"+conn.Config().Database
	for _, e := range extensions() {
		s.run(statement("CREATE EXTENSION %s", e))
	}
	s.run(statement("CREATE SCHEMA oracle"))
	s.run(statement("CREATE TABLE oracle.marker (n int PRIMARY KEY)"))
	return s
}

// run sends a unit. A statement that fails is a mistake of the generator.
func (s *session) run(u unit) {
	s.t.Helper()
	for _, sql := range u.statements {
		var err error
		if u.copyFrom != "" {
			_, err = s.conn.PgConn().CopyFrom(s.t.Context(), strings.NewReader(u.copyFrom), sql)
		} else {
			err = s.conn.PgConn().Exec(s.t.Context(), sql).Close()
		}
		if err != nil {
			s.t.Fatalf("%s\n%s%s", sql, u.copyFrom, explain(err))
		}
	}
}

func explain(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return fmt.Sprintf("%s: %s (%s) %s", e.Severity, e.Message, e.Code, e.Detail)
	}
	return err.Error()
}

// compare plays the seeds, and compares what both have written. A seed that
// differs fails, with the command that repeats it.
func (s *session) compare() *comparison {
	s.t.Helper()
	s.play()
	theirs, err := newReader(s.w.kafka.Addr(), s.w.schemas.URL()).read(s.t.Context(), of(s.name))
	if err != nil {
		s.t.Fatalf("read Debezium's topics: %v", err)
	}
	ours, err := newReader(s.w.relayBroker.Addr(), s.w.relayRegistry.URL()).read(s.t.Context(), of(s.name))
	if err != nil {
		s.t.Fatalf("read the relay's topics: %v", err)
	}
	c := newComparison()
	for _, sc := range s.scenarios {
		for _, t := range sc.rewritten {
			c.rewritten[s.name+"."+t] = true
		}
	}
	for _, topic := range topics(ours, theirs) {
		c.topic(topic, ours[topic], theirs[topic])
	}
	for _, f := range c.failed {
		s.t.Errorf("%s\n  repeat: make test-real ARGS='--only oracle --seed %d --seeds 1'", f.text, f.seed)
	}
	return c
}

// play does the setups, starts both readers, and does the phases. After the first
// one the relay is restarted: what it knows of the tables then comes from its
// history.
func (s *session) play() {
	s.t.Helper()
	for _, sc := range s.scenarios {
		for _, u := range sc.setup {
			s.run(u)
		}
	}
	s.startDebezium()
	s.startRelay()
	s.barrier()
	for phase := 0; ; phase++ {
		done := true
		for _, sc := range s.scenarios {
			if phase < len(sc.phases) {
				done = false
				for _, u := range sc.phases[phase] {
					s.run(u)
				}
			}
		}
		if done {
			return
		}
		s.barrier()
		if phase == 0 {
			s.restartRelay()
		}
	}
}

// barrier returns when both have published all that has been committed before.
func (s *session) barrier() {
	s.t.Helper()
	s.markers++
	s.run(statement("INSERT INTO oracle.marker VALUES (%d)", s.markers))
	topic := s.name + ".oracle.marker"
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if err := s.await(ctx, s.w.kafka.Addr(), topic, s.running); err != nil {
		s.t.Fatalf("Debezium: %v", err)
	}
	if err := s.await(ctx, s.w.relayBroker.Addr(), topic, s.relay.Healthy); err != nil {
		s.t.Fatalf("the relay: %v", err)
	}
}

// await returns when a topic has as many records as there are markers.
func (s *session) await(ctx context.Context, kafka, topic string, healthy func(context.Context) error) error {
	tail := newTail(kafka)
	defer tail.close()
	for {
		n, err := tail.count(ctx, topic)
		if err == nil && n >= int64(s.markers) {
			return nil
		}
		if err := healthy(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d markers after %v: %w", n, s.markers, patience, errors.Join(err, ctx.Err()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *session) running(ctx context.Context) error {
	_, err := s.w.connect.Running(ctx, s.name)
	return err
}

// connector is the configuration of Debezium.
func (s *session) connector() map[string]string {
	c := s.conn.Config()
	config := real.AvroConverter(s.w.schemas.URL())
	maps.Copy(config, map[string]string{
		"connector.class": real.DebeziumConnector, "plugin.name": "pgoutput", "tasks.max": "1",
		"database.hostname": "127.0.0.1", "database.port": fmt.Sprint(c.Port), "database.user": c.User, "database.password": c.Password, "database.dbname": c.Database,
		"topic.prefix": s.name, "slot.name": s.name, "poll.interval.ms": "50",
		"topic.creation.default.replication.factor": "1", "topic.creation.default.partitions": "1",
	})
	maps.Copy(config, s.profile.properties)
	return config
}

// startDebezium returns when Debezium has made its slot: what is committed from
// then on is streamed. It ends with the test.
func (s *session) startDebezium() {
	s.t.Helper()
	s.createDebezium()
	s.t.Cleanup(func() {
		if err := s.w.connect.Delete(context.Background(), s.name); err != nil {
			s.t.Error(err)
		}
	})
}

func (s *session) createDebezium() {
	s.t.Helper()
	if err := s.w.connect.Create(s.t.Context(), s.name, s.connector()); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		var there bool
		err := s.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1 AND confirmed_flush_lsn IS NOT NULL)`, s.name).Scan(&there)
		if err == nil && there {
			return
		}
		if err := s.running(ctx); err != nil {
			s.t.Fatalf("Debezium: %v", err)
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("Debezium has made no slot: %v", errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
