package schema

import (
	"math"
	"strings"
)

// slippedDefault is what Debezium makes of default literals at the ends of their
// types. A schema under Compat shows the same, since its text would differ
// otherwise; done is false where nothing slips.
func slippedDefault(m *mapping, text string) (json, avro []byte, done bool) {
	infinity := 0
	switch text {
	case "infinity":
		infinity = 1
	case "-infinity":
		infinity = -1
	}
	long := func(v int64) ([]byte, []byte, bool) {
		avro := appendLong(nil, v)
		json, _ := appendDefaultJSON(nil, m, avro)
		return json, avro, true
	}
	word := func(s string) ([]byte, []byte, bool) {
		return appendJSONString(nil, s), appendString(nil, s), true
	}
	pick := func(positive, negative int64) ([]byte, []byte, bool) {
		if infinity > 0 {
			return long(positive)
		}
		return long(negative)
	}
	lastTime := text == "24:00:00"
	switch m.form {
	case formDate, formConnectDate:
		if infinity != 0 {
			return pick(169560311, -170999002)
		}
	case formISODate:
		if infinity != 0 {
			return word(map[int]string{1: "+999999999-12-31Z", -1: "-999999999-01-01Z"}[infinity])
		}
	case formTimeMillis, formConnectTime:
		if lastTime {
			return long(86399999)
		}
	case formTimeMicros:
		if lastTime {
			return long(86399999999)
		}
	case formTimeNanos:
		if lastTime {
			return long(86399999999999)
		}
	case formISOTime:
		if lastTime {
			return word("23:59:59.999999999Z")
		}
	case formTimestampMillis, formConnectTimestamp, formTimestampNanos, formZonedTimestamp:
		return nil, nil, infinity != 0
	case formTimestampMicros:
		if infinity != 0 {
			return pick(-9223372036853775810, math.MinInt64)
		}
		if _, reason := encodeTimestamp(nil, m.form, []byte(text)); reason == badRange && !strings.HasSuffix(text, " BC") {
			return long(math.MaxInt64)
		}
	case formISOTimestamp:
		if infinity != 0 {
			return word(map[int]string{1: "+999999999-12-31T23:59:59.999999999Z", -1: "-999999999-01-01T00:00:00Z"}[infinity])
		}
	case formDuration, formPeriod:
		if infinity != 0 {
			json, avro = encodeDefault(m, "00:00:00")
			return json, avro, true
		}
		s, reason := parseSpan([]byte(text))
		if _, outside := s.micros(); m.form == formDuration && reason == "" && outside != "" {
			if s.years < 0 || s.years == 0 && s.days < 0 {
				return long(math.MinInt64)
			}
			return long(math.MaxInt64)
		}
	}
	return nil, nil, false
}
