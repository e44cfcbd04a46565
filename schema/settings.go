package schema

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Settings are the choices of form that all tables of a relay share. The zero
// value of a mode is its default.
type Settings struct {
	Name     string // topic prefix: source.name
	Database string // source.db
	Version  string // source.version

	// Compat makes Debezium's choices of form: NULL in a nullable column with a
	// default becomes the default, types that Debezium drops are dropped, NOT
	// NULL columns stay so until a row needs null, and decimals that are not
	// finite are null unless Nonfinite is fail. Nonfinite: dead_letter and
	// Unknown: text, the defaults, have no meaning with it.
	Compat bool
	// Placeholder stands for unchanged TOASTed values.
	Placeholder string // __debezium_unavailable_value

	Names     string // what becomes of names that Avro refuses: avro, avro_unicode, none
	Nonfinite string // decimals that are not finite: dead_letter, fail, null
	Decimal   string // precise
	Time      string // adaptive
	Binary    string // bytes
	Unknown   string // types outside the table: text, drop
}

// Validate tells which mode is not one of those above.
func (s Settings) Validate() error {
	var bad []string
	for _, m := range []struct{ key, value, allowed string }{
		{"names", s.Names, "avro avro_unicode none"},
		{"nonfinite", s.Nonfinite, "dead_letter fail null"},
		{"decimal", s.Decimal, "precise"},
		{"time", s.Time, "adaptive"},
		{"binary", s.Binary, "bytes"},
		{"unknown", s.Unknown, "text drop"},
	} {
		if m.value != "" && !slices.Contains(strings.Fields(m.allowed), m.value) {
			bad = append(bad, fmt.Sprintf("format.%s: %s is not one of %s", m.key, m.value, strings.ReplaceAll(m.allowed, " ", ", ")))
		}
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

func (s Settings) dropsUnknown() bool {
	return s.Unknown == "drop" || s.Compat
}

func (s Settings) nullsNonfinite() bool {
	return s.Nonfinite == "null" || s.Compat && s.Nonfinite != "fail"
}
