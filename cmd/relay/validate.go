package main

import (
	"regexp"
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
		for i, pattern := range list {
			if !strings.Contains(pattern, ".") {
				report(key+"["+strconv.Itoa(i)+"]", "want schema.table, such as public.%s or *.%s", pattern, pattern)
			}
		}
	}
	for table, o := range t.Overrides {
		if !strings.Contains(table, ".") {
			report("overrides."+table, "want schema.table, such as public.%s", table)
		}
		if o.Topic != "" && (!legalTopic.MatchString(o.Topic) || len(o.Topic) > 249) {
			report("overrides."+table+".topic", "want at most 249 letters, digits, dots, dashes and underscores")
		}
		if len(o.Columns.Include) > 0 && len(o.Columns.Exclude) > 0 {
			report("overrides."+table+".columns", "want include or exclude, found both")
		}
	}
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
