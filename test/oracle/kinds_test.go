package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// kind is a type of columns, with values that try it.
type kind struct {
	name   string   // short, part of the columns' names, so that a difference tells its type
	sql    string   // in PostgreSQL's words; $ stands for the seed's schema
	values []string // as text, for any column
	// special are values that only a nullable column may get: for a NOT NULL
	// column they would end Debezium's task.
	special []string
	random  func(*rand.Rand) string
	// big is a value that PostgreSQL stores out of line.
	big func(*rand.Rand) string
	// placeholder says that Debezium has a stand-in for an unchanged value that is
	// stored out of line. Without one, such a value in a NOT NULL column ends its
	// task; outOfLine says that this can happen even with the kind's other values.
	placeholder bool
	outOfLine   bool
	defaults    []string           // expressions
	optional    bool               // never NOT NULL: null is all that Debezium may have for it
	unique      func(n int) string // different for each n; nil: not for keys
}

// plain is a value of the kind that any column may hold.
func (k *kind) plain(r *rand.Rand) string {
	if k.random != nil && (len(k.values) == 0 || r.IntN(2) == 0) {
		return k.random(r)
	}
	return k.values[r.IntN(len(k.values))]
}

// hexText is n random characters that do not compress below the size at which
// values go out of line.
func hexText(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[r.IntN(16)]
	}
	return string(b)
}

// words is a short text, some of it unusual.
func words(r *rand.Rand) string {
	list := []string{"a", "", " b ", "it's", `"q"`, `back\slash`, "tab\there", "line\nbreak", "ünïcödé", "日本", "😀", "{}", "NULL", "null", ",", "%", "\u2028", "$1"}
	n := 1 + r.IntN(4)
	parts := make([]string, n)
	for i := range parts {
		parts[i] = list[r.IntN(len(list))]
	}
	return strings.Join(parts, "-")
}

func number(min, max int64) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return fmt.Sprint(min + r.Int64N(max-min+1)) }
}

// digits is a decimal number with some of its digits behind the point.
func digits(before, after int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		var b strings.Builder
		if r.IntN(2) == 0 {
			b.WriteByte('-')
		}
		for range 1 + r.IntN(before) {
			b.WriteByte(byte('0' + r.IntN(10)))
		}
		if n := r.IntN(after + 1); n > 0 {
			b.WriteByte('.')
			for range n {
				b.WriteByte(byte('0' + r.IntN(10)))
			}
		}
		return b.String()
	}
}

func bits(min, max int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		b := make([]byte, min+r.IntN(max-min+1))
		for i := range b {
			b[i] = byte('0' + r.IntN(2))
		}
		return string(b)
	}
}

func date(r *rand.Rand) string {
	return fmt.Sprintf("%04d-%02d-%02d", 1600+r.IntN(800), 1+r.IntN(12), 1+r.IntN(28))
}

func clock(r *rand.Rand) string {
	return fmt.Sprintf("%02d:%02d:%02d%s", r.IntN(24), r.IntN(60), r.IntN(60), fraction(r))
}

func fraction(r *rand.Rand) string {
	if r.IntN(3) == 0 {
		return ""
	}
	return "." + strings.TrimSpace(fmt.Sprintf("%06d", r.IntN(1000000)))[:1+r.IntN(6)]
}

func zone(r *rand.Rand) string {
	return []string{"Z", "+02", "-08", "+05:30", "-03:30", "+14", "-12"}[r.IntN(7)]
}

// instant is in the years that 64 bits of nanoseconds reach.
func instant(r *rand.Rand) string {
	return fmt.Sprintf("%04d-%02d-%02d %s", 1700+r.IntN(500), 1+r.IntN(12), 1+r.IntN(28), clock(r))
}

func period(r *rand.Rand) string {
	return fmt.Sprintf("%d years %d mons %d days %d:%02d:%02d%s", r.IntN(40)-20, r.IntN(24)-12, r.IntN(80)-40, r.IntN(60)-30, r.IntN(60), r.IntN(60), fraction(r))
}

func uuid(r *rand.Rand) string {
	s := hexText(r, 32)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// array makes the array of a kind: the kind's values as elements, and NULL.
func array(name, sql string, element *kind, nulls bool) *kind {
	k := &kind{name: name, sql: sql, values: []string{"{}"}, outOfLine: true}
	k.random = func(r *rand.Rand) string {
		items := make([]string, 1+r.IntN(4))
		for i := range items {
			items[i] = arrayItem(element.plain(r))
			if nulls && r.IntN(5) == 0 {
				items[i] = "NULL"
			}
		}
		return "{" + strings.Join(items, ",") + "}"
	}
	k.big = func(r *rand.Rand) string {
		var items []string
		for size := 0; size < 12000; {
			item := arrayItem(element.plain(r))
			size += len(item) + 4
			items = append(items, item)
		}
		return "{" + strings.Join(items, ",") + "}"
	}
	return k
}

func arrayItem(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// adjust leaves out what ends Debezium's task, or has no form at all, under a
// profile's options.
func (k *kind) adjust(p *profile) {
	times, binary, decimals := p.properties["time.precision.mode"], p.properties["binary.handling.mode"], p.properties["decimal.handling.mode"]
	switch k.name {
	case "bytea": // null stands for an unchanged one in base64
		k.placeholder = !strings.HasPrefix(binary, "base64")
	case "bytea_a": // and in hexadecimal too
		k.placeholder = binary == ""
	case "date_a": // its stand-in is a list of numbers
		k.placeholder = times == "" || strings.HasSuffix(times, "seconds")
	case "ts", "ts0", "ts3": // null stands for one that an old row lacks; beyond 1677 and 2262 it has no form
		if times == "nanoseconds" {
			k.optional = true
			k.special = slices.DeleteFunc(k.special, func(s string) bool { return !strings.HasSuffix(s, "infinity") })
		}
	case "numeric": // beyond a double
		if decimals == "double" {
			k.big = nil
		}
	}
}
