package schema

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailrace/tailrace/cdc"
)

// Settings are the choices of form that all tables of a relay share. The zero
// value of a mode is its default, the first in its list.
type Settings struct {
	Name     string // topic prefix: source.name
	Database string // source.db
	Version  string // source.version

	// Compat makes Debezium's choices of form: NULL in a nullable column with a
	// default becomes the default, types that Debezium drops are dropped unless
	// Unknown is bytes, NOT NULL columns stay so until a row needs null, decimals
	// that are not finite are null unless Nonfinite is fail, and an infinite
	// interval is null only where Nonfinite is.
	Compat bool
	// Placeholder stands for unchanged TOASTed values.
	Placeholder string // __debezium_unavailable_value

	Names     string // what becomes of names that Avro refuses: avro, avro_unicode, none
	Nonfinite string // decimals and intervals that are not finite: dead_letter, fail, null, string
	Decimal   string // numeric and money: precise, string, double
	Time      string // adaptive, adaptive_time_microseconds, connect, isostring, microseconds, nanoseconds, structured
	Binary    string // bytea: bytes, base64, base64-url-safe, hex
	Unknown   string // types outside the table: text, bytes, drop
	Interval  string // numeric, string
	Hstore    string // json, map

	// MoneyDigits is how many fraction digits money has. There is no default here,
	// since none is a choice: Debezium's is 2.
	MoneyDigits int

	// SourceTypes chooses the columns whose type in PostgreSQL stands in the
	// schema, under connect.parameters; nil: none. It is called while plans are
	// made, by several goroutines at once.
	SourceTypes func(*cdc.Table, *cdc.Column) bool

	Subject string // registry.subject, the registry's names of schemas: topic, record, topic_record
}

// maxMoneyDigits is far beyond any currency.
const maxMoneyDigits = 30

// Validate tells which mode is not one of those above.
func (s Settings) Validate() error {
	var bad []string
	for _, m := range []struct{ key, value, allowed string }{
		{"names", s.Names, "avro avro_unicode none"},
		{"nonfinite", s.Nonfinite, "dead_letter fail null string"},
		{"decimal", s.Decimal, "precise string double"},
		{"time", s.Time, "adaptive adaptive_time_microseconds connect isostring microseconds nanoseconds structured"},
		{"binary", s.Binary, "bytes base64 base64-url-safe hex"},
		{"unknown", s.Unknown, "text bytes drop"},
		{"interval", s.Interval, "numeric string"},
		{"hstore", s.Hstore, "json map"},
	} {
		if m.value != "" && !slices.Contains(strings.Fields(m.allowed), m.value) {
			bad = append(bad, fmt.Sprintf("format.%s: %s is not one of %s", m.key, m.value, strings.ReplaceAll(m.allowed, " ", ", ")))
		}
	}
	if s.MoneyDigits < 0 || s.MoneyDigits > maxMoneyDigits {
		bad = append(bad, fmt.Sprintf("format.money_digits: %d is not between 0 and %d", s.MoneyDigits, maxMoneyDigits))
	}
	if s.Subject != "" && s.Subject != subjectTopic && s.Subject != subjectRecord && s.Subject != subjectTopicRecord {
		bad = append(bad, fmt.Sprintf("registry.subject: %s is not one of topic, record, topic_record", s.Subject))
	}
	if bad != nil {
		return errors.New(strings.Join(bad, "; "))
	}
	return nil
}

func (s Settings) placeholder() string {
	if s.Placeholder == "" {
		return "__debezium_unavailable_value"
	}
	return s.Placeholder
}

func (s Settings) nullsNonfinite() bool {
	return s.Nonfinite == "null" || s.Compat && s.Nonfinite != "fail"
}
