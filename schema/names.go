package schema

import (
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/tailrace/tailrace/cdc"
)

// adjustName makes a name that Avro takes, as Debezium does: avro puts _ for
// each character (UTF-16 unit) that Avro refuses and before a leading digit;
// avro_unicode writes it, and the underscore itself, as _uxxxx.
func adjustName(name, mode string) string {
	if mode == "none" {
		return name
	}
	unicode := mode == "avro_unicode"
	var b strings.Builder
	for i, u := range utf16.Encode([]rune(name)) {
		digit := u >= '0' && u <= '9'
		letter := u >= 'a' && u <= 'z' || u >= 'A' && u <= 'Z'
		switch {
		case letter, digit && i > 0, u == '_' && !unicode:
			b.WriteByte(byte(u))
		case unicode:
			b.WriteString("_u")
			b.WriteString(strconv.FormatUint(uint64(u)|0x10000, 16)[1:])
		case digit:
			b.WriteByte('_')
			b.WriteByte(byte(u))
		default:
			b.WriteByte('_')
		}
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()
}

// adjustNamespace adjusts a topic name, part by part.
func adjustNamespace(topic, mode string) string {
	parts := strings.Split(topic, ".")
	for i := range parts {
		parts[i] = adjustName(parts[i], mode)
	}
	return strings.Join(parts, ".")
}

// fieldNames is the field name of each column. Columns that differ by case only,
// or that the adjustment made equal, get a numeric suffix from the second on.
func fieldNames(t *cdc.Table, mode string) []string {
	names := make([]string, len(t.Columns))
	taken := make(map[string]bool, len(names))
	// Columns that keep their name come first, so that no other takes it.
	for _, adjusted := range []bool{false, true} {
		for i := range t.Columns {
			name := adjustName(t.Columns[i].Name, mode)
			if (name != t.Columns[i].Name) != adjusted {
				continue
			}
			names[i] = name
			for n := 2; taken[strings.ToLower(names[i])]; n++ {
				names[i] = name + "_" + strconv.Itoa(n)
			}
			taken[strings.ToLower(names[i])] = true
		}
	}
	return names
}
