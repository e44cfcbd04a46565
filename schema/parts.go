package schema

import "math"

// The records of the mode structured: a date, time or interval in its parts. They
// are Debezium's; every part can be null, and is for an infinity, which
// specialValue names.

const (
	positiveInfinity = "POSITIVE_INFINITY"
	negativeInfinity = "NEGATIVE_INFINITY"
)

// appendPart appends a part that is there.
func appendPart(dst []byte, v int64) []byte { return appendLong(append(dst, 2), v) }

// appendSpecial appends so many nulls, then the name of an infinity.
func appendSpecial(dst []byte, nulls, infinity int) []byte {
	for range nulls {
		dst = append(dst, 0)
	}
	name := positiveInfinity
	if infinity < 0 {
		name = negativeInfinity
	}
	return appendString(append(dst, 2), name)
}

func appendDayParts(dst []byte, days int64) []byte {
	year, month, day := dateOf(days)
	return appendPart(appendPart(appendPart(dst, year), int64(month)), int64(day))
}

// appendClockParts appends hour, minute, second and nanoseconds.
func appendClockParts(dst []byte, micros int64) []byte {
	dst = appendPart(dst, micros/3_600_000_000)
	dst = appendPart(dst, micros/60_000_000%60)
	dst = appendPart(dst, micros/1_000_000%60)
	return appendPart(dst, micros%1_000_000*1000)
}

func encodeDateParts(dst, text []byte) ([]byte, string) {
	switch string(text) {
	case "infinity":
		return appendSpecial(dst, 3, 1), ""
	case "-infinity":
		return appendSpecial(dst, 3, -1), ""
	}
	days, reason := parseDate(text)
	if reason != "" {
		return dst, reason
	}
	return append(appendDayParts(dst, days), 0), "" // no special value
}

func encodeTimeParts(dst []byte, m *mapping, text []byte) ([]byte, string) {
	micros, reason := parseTime(text)
	if reason != "" {
		return dst, reason
	}
	return appendPart(appendClockParts(dst, micros), int64(m.precision)), ""
}

func encodeTimestampParts(dst []byte, m *mapping, text []byte) ([]byte, string) {
	days, clock, infinity, reason := parseTimestamp(text)
	switch {
	case reason != "":
		return dst, reason
	case infinity != 0:
		return appendPart(appendSpecial(dst, 7, infinity), int64(m.precision)), ""
	}
	dst = appendClockParts(appendDayParts(dst, days), clock)
	return appendPart(append(dst, 0), int64(m.precision)), ""
}

func encodeZonedTimestampParts(dst []byte, m *mapping, text []byte) ([]byte, string) {
	switch string(text) {
	case "infinity":
		return appendPart(appendSpecial(dst, 9, 1), int64(m.precision)), ""
	case "-infinity":
		return appendPart(appendSpecial(dst, 9, -1), int64(m.precision)), ""
	}
	days, clock, reason := parseZoned(text)
	if reason != "" {
		return dst, reason
	}
	dst = appendPart(appendClockParts(appendDayParts(dst, days), clock), 0)
	dst = append(dst, 2, 2, 'Z', 0) // the zone, no special value
	return appendPart(dst, int64(m.precision)), ""
}

// encodeZonedTimeParts keeps the offset as it was, and an hour of 24.
func encodeZonedTimeParts(dst []byte, m *mapping, text []byte) ([]byte, string) {
	micros, _, zone, ok := scanTime(text)
	if !ok {
		return dst, badTime
	}
	offset, ok := scanZone(zone)
	if !ok {
		return dst, badTime
	}
	return appendPart(appendPart(appendClockParts(dst, micros), offset), int64(m.precision)), ""
}

func encodePeriodParts(dst []byte, m *mapping, text []byte) ([]byte, string) {
	s, reason := parseSpan(text)
	switch {
	case reason != "":
		return dst, reason
	case max(s.hours, -s.hours) > math.MaxInt32:
		return dst, badHours
	}
	for _, part := range [...]int64{s.years, s.months, s.days, s.hours, s.minutes, s.seconds, 1000 * s.microsOfClock, int64(m.precision)} {
		dst = appendPart(dst, part)
	}
	return dst, ""
}

// zeroParts is the filler of a record of parts: 1970-01-01 and midnight. A
// timestamp with time zone has no zone there.
func zeroParts(m *mapping) []byte {
	var dst []byte
	switch m.form {
	case formDateParts, formTimestampParts, formZonedTimestampParts:
		dst = appendDayParts(dst, 0)
	}
	switch m.form {
	case formDateParts:
		return append(dst, 0)
	case formPeriodParts:
		for range 7 {
			dst = appendPart(dst, 0)
		}
		return appendPart(dst, int64(m.precision))
	}
	dst = appendClockParts(dst, 0)
	switch m.form {
	case formZonedTimestampParts:
		dst = append(appendPart(dst, 0), 0, 0)
	case formZonedTimeParts:
		dst = appendPart(dst, 0)
	case formTimestampParts:
		dst = append(dst, 0)
	}
	return appendPart(dst, int64(m.precision))
}
