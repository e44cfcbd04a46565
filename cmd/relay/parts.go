package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/cli"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/schema"
)

// This file turns the configuration's sections into the configurations of the
// parts, one method each.

// postgresConfig is how the database is read; book is s's.
func (s *settings) postgresConfig(log *slog.Logger, book *ruleBook) postgres.Config {
	p := &s.Postgres
	return postgres.Config{
		URL: p.URL, Password: p.password(), Slot: p.Slot.Name, Failover: p.Slot.Failover != "false",
		Publication: p.Publication.Name, CreatePublication: p.Publication.Create, PublishViaRoot: p.Publication.ViaRoot, Adopt: p.Slot.Adopt,
		Include: s.Tables.Include, Exclude: s.Tables.Exclude, Where: book.where, Rules: book.rules, MaxRow: int(s.MaxRow), Logger: log,
	}
}

// password is nil where the URL and the environment say it.
func (p *postgresSettings) password() func(context.Context) (string, error) {
	switch {
	case p.PasswordFile != "":
		return func(context.Context) (string, error) { return cli.Secret("postgres.password_file", p.PasswordFile) }
	case len(p.PasswordCommand) > 0:
		return func(ctx context.Context) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, p.PasswordCommand[0], p.PasswordCommand[1:]...).Output()
			if err != nil {
				return "", fmt.Errorf("postgres.password_command: %w", err)
			}
			return string(bytes.TrimSpace(out)), nil
		}
	}
	return nil
}

// limitMemory has garbage collected before it makes the process large: what is
// alive is a few times max_row at most, and garbage of long rows would be as much
// again. GOMEMLIMIT counts instead if it is set.
func (s *settings) limitMemory() {
	const base, usual = 80 << 20, 8 << 20
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(base + 8*max(0, int64(s.MaxRow)-usual))
	}
}

// shared is what a section kafka has in both programs.
func (k *kafkaSettings) shared() cli.Kafka {
	return cli.Kafka{Brokers: k.Brokers, TLS: k.TLS, SASL: cli.SASL{
		Mechanism: k.SASL.Mechanism, Username: k.SASL.Username, PasswordFile: k.SASL.PasswordFile,
	}}
}

func (s *settings) kafkaConfig() (kafka.Config, error) {
	return s.Kafka.shared().Connection("tailrace-relay-" + s.Name)
}

func (s *settings) publisherConfig(c kafka.Config) kafka.PublisherConfig {
	out := kafka.PublisherConfig{
		Config: c, Name: s.Name, TransactionalID: "tailrace." + s.Name + "." + s.Postgres.Slot.Name, AtLeastOnce: s.Delivery == "at_least_once",
		Compression: s.Kafka.Compression, MaxRecord: int(s.MaxRow), CreateTopics: s.Kafka.Topics.Create,
		Partitions: s.Kafka.Topics.Partitions, Replication: s.Kafka.Topics.ReplicationFactor, TopicConfig: s.Kafka.Topics.Config,
	}
	if s.Format.ContextHeaders {
		out.ContextHeaders = []cdc.Header{
			{Name: "__debezium.context.connectorLogicalName", Value: s.Name},
			{Name: "__debezium.context.taskId", Value: "0"},
			{Name: "__debezium.context.connectorName", Value: "postgresql"},
			{Name: "__debezium.context.runId", Value: uuid.Must(uuid.NewV7()).String()},
		}
	}
	return out
}

// shared is what a section registry has in both programs.
func (r *registrySettings) shared() cli.Registry {
	return cli.Registry{URL: r.URL, Username: r.Username, PasswordFile: r.PasswordFile}
}

func (s *settings) schemaSettings() schema.Settings {
	f := &s.Format
	return schema.Settings{
		Name: s.Name, Version: ops.Version, Compat: f.Compat == "debezium", Placeholder: f.Placeholder,
		Names: f.Names, Nonfinite: f.Nonfinite, Decimal: f.Decimal, Time: f.Time, Binary: f.Binary, Unknown: f.Unknown,
		Interval: f.Interval, Hstore: f.Hstore, MoneyDigits: f.MoneyDigits, SourceTypes: f.sourceTypes(), Subject: s.Registry.Subject,
	}
}

// sourceTypes chooses the columns whose PostgreSQL type stands in the schema; nil
// is none.
func (f *formatSettings) sourceTypes() func(*cdc.Table, *cdc.Column) bool {
	none := func(int, error) {} // what is wrong with one, Validate has told
	columns, types := newPatterns(f.SourceTypes, none), newPatterns(f.SourceDatatypes, none)
	if len(columns)+len(types) == 0 {
		return nil
	}
	return func(t *cdc.Table, c *cdc.Column) bool {
		return columns.fit(t.String()+"."+c.Name) || types.fit(t.String()+"."+typeName(c))
	}
}

// typeName is the type's name as Debezium has it: a serial column's is serial.
func typeName(c *cdc.Column) string {
	if strings.HasPrefix(c.Default, "nextval(") {
		switch c.Type.Name {
		case "int2":
			return "smallserial"
		case "int4":
			return "serial"
		case "int8":
			return "bigserial"
		}
	}
	return c.Type.Name
}

// relayConfig is what the loop needs to know; book is s's.
func (s *settings) relayConfig(book *ruleBook) cdc.Config {
	f := &s.Format
	c := cdc.Config{
		Name: s.Name, Topic: func(t *cdc.Table) string { return s.topic(book, t) }, Rules: book.rules,
		Tombstones: f.Tombstones, Skip: strings.Join(s.Tables.Skip, ""), Truncates: f.Truncate,
		MaxRow: int(s.MaxRow), DeadLetter: s.DeadLetter.Topic, Limits: cdc.DefaultLimits(),
		Debezium: f.Compat == "debezium", WholeKey: s.Kafka.Partitioner == "debezium",
		KeyNewTopic: s.Kafka.OnKeyChange == "new_topic",
		Messages:    s.Messages.published(), Transactions: f.TransactionMetadata,
	}
	if s.Heartbeat.Topic {
		c.Heartbeat = s.Heartbeat.Interval
	}
	if f.Nonfinite == "fail" {
		c.DeadLetter = ""
	}
	if s.OnOversize == "dead_letter" {
		c.Oversize = s.DeadLetter.Topic
	}
	switch s.Registry.OnIncompatible {
	case "dead_letter":
		c.OnIncompatible = cdc.IncompatibleDeadLetter
	case "force":
		c.OnIncompatible = cdc.IncompatibleForce
	}
	return c
}

// keeper looks after what holds the past of sup's database.
func (s *settings) keeper(sup *supervisor, log *slog.Logger) *keeper {
	return &keeper{
		postgres: sup.postgres, names: s.names(), window: s.Replay.Window, max: int64(s.Replay.Max), walMax: int64(s.WAL.Max), ttl: s.Replay.BookmarkTTL,
		status: sup.status, log: log, repeats: ops.NewRepeats(log), fresh: make(chan []string, 1), expires: map[string]expiry{},
		recall: func(ctx context.Context) (map[string]cdc.Bookmark, error) {
			rem, err := kafka.Recall(ctx, sup.kafka)
			if err != nil {
				return nil, err
			}
			return rem.Bookmarks, nil
		},
	}
}

// names are those of the slots that hold the past.
func (s *settings) names() postgres.Names { return postgres.NewNames(s.Name, s.Postgres.Slot.Name) }

// published tells of a logical message's prefix whether it is published.
func (m *messageSettings) published() func(prefix string) bool {
	none := func(int, error) {} // what is wrong with one, Validate has told
	include, exclude := newPatterns(m.Include, none), newPatterns(m.Exclude, none)
	return func(prefix string) bool { return include.fit(prefix) && !exclude.fit(prefix) }
}

// topic is where a table's records go. Characters that Kafka refuses in a topic's
// name become underscores, as in Debezium.
func (s *settings) topic(book *ruleBook, t *cdc.Table) string {
	if m := book.merged(t.String()); m.topic != "" {
		return m.topic
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, s.Name+"."+t.String())
}
