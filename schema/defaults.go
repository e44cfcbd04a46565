package schema

import (
	"regexp"
	"strings"
)

// schemaDefault is the default that a schema shows for a column whose default
// expression, as pg_get_expr prints it, is expr: in JSON and as Avro bytes, nil
// where it shows none. It follows Debezium, which evaluates nothing: a literal is
// its value, the call of a function the type's zero, anything else is taken as it
// is written.
func (s *Settings) schemaDefault(m *mapping, expr string) (json, avro []byte) {
	expr = strings.TrimSpace(expr)
	if strings.HasPrefix(expr, "NULL::") || expr == "NULL" {
		return nil, nil
	}
	text, kind := defaultText(expr)
	if m.form == formEnum {
		if kind != literalDefault || expr[0] != '\'' {
			return nil, nil
		}
		// Debezium leaves the doubled quotes of a label as they are.
		return encodeDefault(m, strings.ReplaceAll(text, "'", "''"))
	}
	if kind == callDefault || m.form.temporal() && currentWord.MatchString(text) {
		return encodeDefault(m, zeroText(m))
	}
	if kind == otherDefault && m.form != formString {
		text = strings.Trim(text, "()")
	}
	if s.Compat {
		if json, avro, done := slippedDefault(m, text); done {
			return json, avro
		}
	}
	switch m.form {
	case formBool:
		text = boolText(text == "true" || text == "t")
	case formBit:
		if len(text) != 1 {
			return nil, nil
		}
	case formBits:
		if kind != literalDefault && !s.Compat {
			return nil, nil
		}
		if kind != literalDefault { // Debezium takes any text for bits
			text = strings.Map(func(r rune) rune {
				if r == '1' {
					return '1'
				}
				return '0'
			}, text)
		}
	case formDecimalText, formDecimalReal:
		if text = scaledText(m, text); text == "" {
			return nil, nil
		}
	}
	return encodeDefault(m, text)
}

func boolText(b bool) string {
	if b {
		return "t"
	}
	return "f"
}

// encodeDefault is nil when the text is no value of the type.
func encodeDefault(m *mapping, text string) (json, avro []byte) {
	free := *m
	free.labels = nil
	if m.form == formZonedTimestamp && m.precision == 0 {
		// Without digits in the column Debezium writes those of the literal.
		_, fraction, _ := strings.Cut(text, ".")
		free.precision = len(fraction) - len(strings.TrimLeft(fraction, "0123456789"))
	}
	avro, reason := new(Plan).encodeText(nil, &free, []byte(text))
	if reason != "" {
		return nil, nil
	}
	json, err := appendDefaultJSON(nil, m, avro)
	if err != nil {
		return nil, nil
	}
	return json, avro
}

type defaultKind uint8

const (
	otherDefault   defaultKind = iota
	literalDefault             // 'text'::type
	callDefault                // a function call
)

var (
	callPattern = regexp.MustCompile(`^\(?[A-Za-z0-9_."]+\(`)
	currentWord = regexp.MustCompile(`^(?i:CURRENT_DATE|CURRENT_TIME|CURRENT_TIMESTAMP|LOCALTIME|LOCALTIMESTAMP)$`)
)

// defaultText finds the value in an expression. As in Debezium the first quoted
// literal counts, whatever is around it.
func defaultText(expr string) (string, defaultKind) {
	if callPattern.MatchString(expr) {
		return "", callDefault
	}
	if text, ok := firstLiteral(expr); ok {
		return text, literalDefault
	}
	return expr, otherDefault
}

func firstLiteral(expr string) (string, bool) {
	start := strings.IndexByte(expr, '\'')
	if start < 0 {
		return "", false
	}
	escapes := start > 0 && expr[start-1] == 'E'
	var b strings.Builder
	for i := start + 1; i < len(expr); i++ {
		switch {
		case expr[i] == '\\' && escapes && i+1 < len(expr):
			i++
		case expr[i] == '\'' && i+1 < len(expr) && expr[i+1] == '\'':
			i++
		case expr[i] == '\'':
			return b.String(), true
		}
		b.WriteByte(expr[i])
	}
	return "", false
}

// zeroText is the type's zero as PostgreSQL's text.
func zeroText(m *mapping) string {
	switch m.form {
	case formBool:
		return "f"
	case formInt16, formInt32, formInt64, formFloat32, formFloat64, formDecimal, formDecimalReal, formBit:
		return "0"
	case formDecimalText:
		return scaledText(m, "0")
	case formDate, formConnectDate, formISODate:
		return "1970-01-01"
	case formTimeMicros, formTimeMillis, formTimeNanos, formConnectTime, formISOTime, formDuration, formPeriod:
		return "00:00:00"
	case formTimestampMicros, formTimestampMillis, formTimestampNanos, formConnectTimestamp, formISOTimestamp:
		return "1970-01-01 00:00:00"
	case formZonedTimestamp:
		return "1970-01-01 00:00:00+00"
	}
	switch m.semantic {
	case "io.debezium.data.Json":
		return "{}"
	case "io.debezium.data.Uuid":
		return "00000000-0000-0000-0000-000000000000"
	}
	return ""
}

// scaledText writes a number with the digits of its column's scale; "" where it
// has more, or is no number.
func scaledText(m *mapping, text string) string {
	d, reason := parseDecimal([]byte(text))
	if reason != "" {
		return ""
	}
	if m.precision == 0 {
		return text
	}
	d.trimFraction()
	if len(d.frac) > m.scale {
		return ""
	}
	text = strings.TrimPrefix(text, "-")
	whole, _, _ := strings.Cut(text, ".")
	if d.negative {
		whole = "-" + whole
	}
	if m.scale == 0 {
		return whole
	}
	return whole + "." + string(d.frac) + strings.Repeat("0", m.scale-len(d.frac))
}
