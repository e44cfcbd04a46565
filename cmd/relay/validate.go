package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/internal/cli"
	"github.com/tailrace/tailrace/internal/config"
)

var (
	legalTopic = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	legalSlot  = regexp.MustCompile(`^[a-z0-9_]+$`)
)

// Settle follows Debezium where the file asks for its form, or for its place,
// and says nothing of the key.
func (s *settings) Settle(given func(string) bool) {
	if s.Format.Compat == "debezium" {
		if !given("format.nonfinite") {
			s.Format.Nonfinite = "null"
		}
		if !given("format.unknown") {
			s.Format.Unknown = "drop"
		}
	}
	if s.Postgres.Slot.Adopt && !given("kafka.partitioner") {
		s.Kafka.Partitioner = "debezium"
	}
}

// Validate holds the rules that are about more than one key, or about more than
// a key's type.
func (s *settings) Validate(report config.Report) {
	if !legalTopic.MatchString(s.Name) || s.Name == "." || s.Name == ".." {
		report("name", "want letters, digits, dots, dashes and underscores: it begins the topics' names")
	} else if len(s.Name) > 120 {
		report("name", "want at most 120 characters: it begins the topics' names")
	}
	if !legalTopic.MatchString(s.DeadLetter.Topic) || len(s.DeadLetter.Topic) > 249 {
		report("dead_letter.topic", "want at most 249 letters, digits, dots, dashes and underscores")
	}
	if s.Outbox.Table != "" && s.Outbox.Prefix != "" {
		report("outbox", "want a table or a prefix, found both")
	}
	if s.Format.Nonfinite == "fail" && s.Registry.OnIncompatible == "dead_letter" {
		report("registry.on_incompatible", "want stop or force beside format.nonfinite: fail, which has no dead letters")
	}
	if s.Postgres.Slot.Adopt && s.Kafka.Partitioner != "debezium" {
		report("kafka.partitioner", "want debezium beside postgres.slot.adopt: true, or records would go to other partitions than before")
	}
	if s.Format.Compat == "debezium" {
		switch s.Format.Nonfinite {
		case "dead_letter", "string":
			report("format.nonfinite", "want null or fail beside format.compat: debezium, whose schemas have no other place for it")
		}
		if s.Format.Unknown == "text" {
			report("format.unknown", "want drop or bytes beside format.compat: debezium, which has no text for such types")
		}
	}
	if s.Heartbeat.Topic && s.Heartbeat.Interval == 0 {
		report("heartbeat.interval", "want more than 0s beside heartbeat.topic: true")
	}
	if s.Replay.BookmarkTTL <= 0 {
		report("replay.bookmark_ttl", "want more than 0s: bookmarks would expire at once")
	}
	if name := s.names().Trailing; s.Replay.Window > 0 && len(name) > 63 {
		report("postgres.slot.name", "want at most %d characters beside replay.window: the trailing slot's name is longer by %d", 63-len(name)+len(s.Postgres.Slot.Name), len(name)-len(s.Postgres.Slot.Name))
	}
	if s.WAL.Max > 0 && s.WAL.Warn > s.WAL.Max {
		report("wal.warn", "want at most wal.max, which is %s", s.WAL.Max)
	}
}

// Validate checks what libpq would refuse, and the names.
func (p *postgresSettings) Validate(report config.Report) {
	if _, err := pgconn.ParseConfig(p.URL); err != nil {
		report("url", "want a libpq URL or keywords, as in postgres://tailrace@127.0.0.1:5432/shop: %s", config.Redact(err.Error()))
	}
	if p.PasswordFile != "" && len(p.PasswordCommand) > 0 {
		report("password_command", "want password_file or password_command, found both")
	}
	if !legalSlot.MatchString(p.Slot.Name) || len(p.Slot.Name) > 63 {
		report("slot.name", "want at most 63 lower-case letters, digits and underscores")
	}
	if p.Publication.Name == "" || len(p.Publication.Name) > 63 {
		report("publication.name", "want 1 to 63 characters")
	}
}

// Validate checks the form of patterns.
func (t *tableSettings) Validate(report config.Report) {
	for key, list := range map[string][]string{"include": t.Include, "exclude": t.Exclude} {
		for i, p := range list {
			validateTable(report, key+"["+strconv.Itoa(i)+"]", p)
		}
	}
	for i, op := range t.Skip {
		if slices.Contains(t.Skip[:i], op) {
			report("skip["+strconv.Itoa(i)+"]", "%s is given twice", op)
		}
	}
	for table, o := range t.Overrides {
		validateTable(report, "overrides."+table, table)
		o.validate(func(path, format string, args ...any) { report("overrides."+table+"."+path, format, args...) })
	}
}

func validateTable(report config.Report, path, text string) {
	if _, regular := regularExpression(text); !regular && !strings.Contains(text, ".") {
		report(path, "want schema.table, such as public.%s or *.%s", text, text)
	}
	validatePattern(report, path, text)
}

func validatePattern(report config.Report, path, text string) {
	if _, err := newPattern(text); err != nil {
		report(path, "%s", err)
	}
}

func validatePatterns(report config.Report, path string, list []string) {
	for i, text := range list {
		validatePattern(report, path+"["+strconv.Itoa(i)+"]", text)
	}
}

func (o *tableOverride) validate(report config.Report) {
	if o.Topic != "" && (!legalTopic.MatchString(o.Topic) || len(o.Topic) > 249) {
		report("topic", "want at most 249 letters, digits, dots, dashes and underscores")
	}
	if len(o.Columns.Include) > 0 && len(o.Columns.Exclude) > 0 {
		report("columns", "want include or exclude, found both")
	}
	validatePatterns(report, "columns.include", o.Columns.Include)
	validatePatterns(report, "columns.exclude", o.Columns.Exclude)
	for column := range o.Mask {
		validatePattern(report, "mask."+column, column)
	}
	for i, column := range o.Key {
		path := "key[" + strconv.Itoa(i) + "]"
		if column == "" {
			report(path, "want a column")
		} else if slices.Contains(o.Key[:i], column) {
			report(path, "column %q is given twice", column)
		}
	}
}

// Validate checks the form of patterns.
func (f *formatSettings) Validate(report config.Report) {
	validatePatterns(report, "source_types", f.SourceTypes)
	validatePatterns(report, "source_datatypes", f.SourceDatatypes)
}

// Validate checks the form of patterns.
func (m *messageSettings) Validate(report config.Report) {
	validatePatterns(report, "include", m.Include)
	validatePatterns(report, "exclude", m.Exclude)
}

// Validate checks addresses, and that what belongs together is there.
func (k *kafkaSettings) Validate(report config.Report) {
	k.shared().Validate(report)
	if k.Topics.ReplicationFactor == 0 {
		report("topics.replication_factor", "want -1, for the broker's default, or at least 1")
	}
}

// Validate checks each URL of the list.
func (r *registrySettings) Validate(report config.Report) {
	r.shared().Validate(report)
}

// Validate checks the address.
func (o *opsSettings) Validate(report config.Report) {
	cli.ValidateListen(report, o.Listen, "127.0.0.1:9464")
}
