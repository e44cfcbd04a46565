package schema

import (
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// modeNote is what a value of a setting makes of some types.
type modeNote struct {
	setting string
	apply   func(*Settings)
	rows    []typeNote
}

var (
	scaledNote   = note("numeric").as("numeric(10,2)", numericModifier(10, 2))
	freeNote     = note("numeric")
	pairNote     = typeNote{name: "a composite, a multirange, any other type", typ: &cdc.Type{Schema: "public", Name: "pair", Kind: cdc.KindComposite}, modifier: -1}
	shortTime    = note("time").as("time(0) to time(3)", 3)
	shortStamp   = note("timestamp").as("timestamp(0) to timestamp(3)", 3)
	microsLost   = "microseconds"
	currencyLost = "sign and grouping of the currency"
)

func (n typeNote) with(samples ...passage) typeNote {
	n.samples = samples
	return n
}

var modeNotes = []modeNote{
	{"decimal: string", func(s *Settings) { s.Decimal = "string" }, []typeNote{
		scaledNote.with(append(kept("12.50"), changed("NaN", "words for what is not finite"), changed("-Infinity", "words for what is not finite"))...),
		freeNote.with(append(kept("1.50"), changed("Infinity", "words for what is not finite"))...),
		note("money", lost("$1,234.50", currencyLost)),
	}},
	{"decimal: double", func(s *Settings) { s.Decimal = "double" }, []typeNote{
		scaledNote.with(append(kept("12.75", "NaN"), lost("12.50", "trailing zeros"), lost("12345678901234567.89", "digits beyond the seventeenth"))...),
		freeNote.with(append(kept("0.1", "Infinity"), lost("0.1234567890123456789", "digits beyond the seventeenth"), refused(strings.Repeat("9", 310), "numbers of more than 308 digits"))...),
		note("money", lost("$1,234.50", currencyLost)),
	}},
	{"money_digits: 0", func(s *Settings) { s.MoneyDigits = 0 }, []typeNote{note("money", lost("$1,234.50", currencyLost+", and digits"))}},
	{"nonfinite: null", func(s *Settings) { s.Nonfinite = "null" }, []typeNote{
		scaledNote.with(append(kept("12.50"), lost("NaN", "NaN and infinities"))...),
		note("numeric[]", lost("{12.5,NaN}", "as in numeric")),
		note("interval", lost("infinity", "infinities")),
	}},
	{"nonfinite: string", func(s *Settings) { s.Nonfinite = "string" }, []typeNote{
		scaledNote.with(append(kept("12.50"), changed("NaN", "words for what is not finite"))...),
		freeNote.with(append(kept("1.50"), changed("-Infinity", "words for what is not finite"))...),
		note("interval", kept("1 mon", "infinity")...),
	}},
	{"time: adaptive_time_microseconds", func(s *Settings) { s.Time = "adaptive_time_microseconds" }, []typeNote{shortTime.with(kept("10:00:00.5")...)}},
	{"time: connect", func(s *Settings) { s.Time = "connect" }, []typeNote{
		note("date", kept("2026-03-01", "0044-03-15 BC", "infinity")...),
		note("time", append(kept("10:00:00.123", "24:00:00"), lost("10:00:00.123456", microsLost))...),
		note("timestamp", append(kept("2026-03-01 10:00:00.123", "infinity"), lost("2026-03-01 10:00:00.123456", microsLost))...),
	}},
	{"time: isostring", func(s *Settings) { s.Time = "isostring" }, []typeNote{
		note("date", kept("2026-03-01", "0044-03-15 BC", "infinity")...),
		note("time", kept("10:00:00.123456", "24:00:00")...),
		note("timestamp", kept("2026-03-01 10:00:00.123456", "294276-12-31 23:59:59.999999", "infinity")...),
	}},
	{"time: microseconds", func(s *Settings) { s.Time = "microseconds" }, []typeNote{
		shortTime.with(kept("10:00:00.5")...), shortStamp.with(append(kept("2026-03-01 10:00:00.5", "infinity"), refused("294247-01-11 00:00:00", "the last 29 years of PostgreSQL's range"))...),
	}},
	{"time: nanoseconds", func(s *Settings) { s.Time = "nanoseconds" }, []typeNote{
		note("time", kept("10:00:00.123456", "24:00:00")...),
		note("timestamp", append(kept("2026-03-01 10:00:00.123456", "infinity"), refused("1677-01-01 00:00:00", "before 1677-09-21"), refused("2263-01-01 00:00:00", "after 2262-04-11"))...),
	}},
	{"time: structured", func(s *Settings) { s.Time = "structured" }, []typeNote{
		note("date", kept("2026-03-01", "0044-03-15 BC", "-infinity")...),
		note("time", kept("10:00:00.123456", "24:00:00")...),
		note("timetz", kept("10:00:00+02", "24:00:00-05:30")...),
		note("timestamp", kept("2026-03-01 10:00:00.123456", "294276-12-31 23:59:59.999999", "infinity")...),
		note("timestamptz", kept("2026-03-01 10:00:00.5+00", "infinity")...),
		note("interval", append(kept("1 mon -1 days +02:03:04.5"), refused("infinity", "infinities"))...),
	}},
	{"interval: string", func(s *Settings) { s.Interval = "string" }, []typeNote{note("interval", append(kept("1 mon -1 days +02:03:04.5"), refused("infinity", "infinities"))...)}},
	{"binary: base64", func(s *Settings) { s.Binary = "base64" }, []typeNote{note("bytea", changed(`\xfbff`, "base64"))}},
	{"binary: base64-url-safe", func(s *Settings) { s.Binary = "base64-url-safe" }, []typeNote{note("bytea", changed(`\xfbff`, "base64"))}},
	{"binary: hex", func(s *Settings) { s.Binary = "hex" }, []typeNote{note("bytea", changed(`\xfbff`, "hexadecimal digits"))}},
	{"hstore: map", func(s *Settings) { s.Hstore = "map" }, []typeNote{extension("hstore", changed(`"k"=>"v", "n"=>NULL`, "a JSON object"))}},
	{"unknown: bytes", func(s *Settings) { s.Unknown = "bytes" }, []typeNote{pairNote.with(changed("(1,x)", "the bytes of the text, in the encoding of `binary`"))}},
	{"unknown: drop", func(s *Settings) { s.Unknown = "drop" }, []typeNote{pairNote}},
}

// modeRows writes what each setting of format makes of the types that it is about.
func modeRows(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| `format` | PostgreSQL | Avro | semantic name | in the sink | lost or changed |\n|---|---|---|---|---|---|\n")
	for _, m := range modeNotes {
		s := Settings{MoneyDigits: 2}
		m.apply(&s)
		for _, n := range m.rows {
			row, _ := n.row(t, s)
			b.WriteString("| `" + m.setting + "` |" + row)
		}
	}
	return b.String()
}
