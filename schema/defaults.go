package schema

import (
	"math/big"
	"regexp"
	"strings"
)

// schemaDefault is the default that a schema shows for a column whose default
// expression is expr, in JSON and as Avro bytes; nil where it shows none. It
// follows Debezium: a literal is its value, a function call the type's zero, and
// other expressions nothing.
func schemaDefault(m *mapping, expr string) (json, avro []byte) {
	expr = strings.TrimSpace(expr)
	if nullDefault.MatchString(expr) {
		return nil, nil
	}
	text, kind := defaultText(expr)
	if kind == callDefault || kind == wordDefault && isTemporal(m.form) {
		if m.form == formEnum {
			return nil, nil
		}
		text = zeroText(m)
	}
	switch m.form {
	case formEnum:
		if kind != literalDefault {
			return nil, nil
		}
		// Debezium leaves the doubled quotes of a label as they are.
		text = strings.ReplaceAll(text, "'", "''")
	case formBool, formBit:
		switch text {
		case "true", "t", "1":
			text = "1"
		default:
			text = "0"
		}
		if m.form == formBool {
			text = map[string]string{"1": "t", "0": "f"}[text]
		}
	case formBits:
		if kind != literalDefault {
			text = ""
		}
	case formDecimal:
		text = roundTo(text, m.scale)
	case formTimeMicros, formTimeMillis:
		if text == "24:00:00" {
			text = "23:59:59.999999" // as Debezium
		}
	case formDate, formTimestampMicros, formTimestampMillis, formZonedTimestamp:
		if strings.HasSuffix(text, "infinity") {
			return nil, nil
		}
	case formFloat32, formFloat64:
		text = strings.Trim(text, "()")
	}
	return encodeDefault(m, text)
}

// encodeDefault is nil when the text is no value of the type.
func encodeDefault(m *mapping, text string) (json, avro []byte) {
	unlabelled := *m
	unlabelled.labels = nil
	avro, reason := new(Plan).encodeText(nil, &unlabelled, []byte(text))
	if reason != "" {
		return nil, nil
	}
	json, _, err := appendPlainJSON(nil, m, avro)
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
	wordDefault                // CURRENT_TIMESTAMP and the like
)

var (
	nullDefault = regexp.MustCompile(`^(?i:NULL)($|::)`)
	callPattern = regexp.MustCompile(`^\(?[A-Za-z0-9_."]+\(`)
	wordPattern = regexp.MustCompile(`^\(?(CURRENT_[A-Z]+|LOCALTIME|LOCALTIMESTAMP|SESSION_USER|USER)\b`)
	castSuffix  = regexp.MustCompile(`::[A-Za-z_" ]+(\([0-9, ]*\))?(\[\])?$`)
)

// defaultText finds the value in an expression as pg_get_expr prints it. As in
// Debezium the first quoted literal counts, whatever is around it.
func defaultText(expr string) (string, defaultKind) {
	if callPattern.MatchString(expr) {
		return "", callDefault
	}
	if text, ok := firstLiteral(expr); ok {
		return text, literalDefault
	}
	for {
		bare := castSuffix.ReplaceAllString(expr, "")
		if strings.HasPrefix(bare, "(") && strings.HasSuffix(bare, ")") {
			bare = bare[1 : len(bare)-1]
		}
		if bare == expr {
			break
		}
		expr = bare
	}
	if wordPattern.MatchString(expr) {
		return expr, wordDefault
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

func isTemporal(f form) bool {
	switch f {
	case formDate, formTimeMicros, formTimeMillis, formTimestampMicros, formTimestampMillis, formZonedTimestamp, formZonedTime, formDuration:
		return true
	}
	return false
}

// zeroText is the type's zero as PostgreSQL's text.
func zeroText(m *mapping) string {
	switch m.form {
	case formBool:
		return "f"
	case formInt16, formInt32, formInt64, formFloat32, formFloat64, formDecimal, formBit:
		return "0"
	case formDate:
		return "1970-01-01"
	case formTimeMicros, formTimeMillis, formDuration:
		return "00:00:00"
	case formTimestampMicros, formTimestampMillis:
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

// roundTo writes a number with so many fraction digits; what is no number stays.
func roundTo(text string, scale int) string {
	r, ok := new(big.Rat).SetString(text)
	if !ok || strings.ContainsAny(text, "/_xXpP") {
		return text
	}
	return r.FloatString(scale)
}
