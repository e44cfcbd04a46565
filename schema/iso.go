package schema

// The texts of the mode isostring: ISO 8601 with a Z, although the types have no
// zone; fractions without trailing zeros. They are Debezium's.

const (
	isoDateInfinity         = "+5877611-06-21Z"
	isoDateNegInfinity      = "-5877611-06-22Z"
	isoTimestampInfinity    = "+292278994-08-16T23:00:00Z"
	isoTimestampNegInfinity = "-292275055-05-16T23:00:00Z"
)

func (p *Plan) encodeISODate(dst, text []byte) ([]byte, string) {
	switch string(text) {
	case "infinity":
		return appendString(dst, isoDateInfinity), ""
	case "-infinity":
		return appendString(dst, isoDateNegInfinity), ""
	}
	days, reason := parseDate(text)
	if reason != "" {
		return dst, reason
	}
	p.json = append(appendISODate(p.json[:0], days), 'Z')
	return appendBytes(dst, p.json), ""
}

func (p *Plan) encodeISOTime(dst, text []byte) ([]byte, string) {
	micros, reason := parseTime(text)
	if reason != "" {
		return dst, reason
	}
	p.json = append(appendISOClock(p.json[:0], micros), 'Z')
	return appendBytes(dst, p.json), ""
}

func (p *Plan) encodeISOTimestamp(dst, text []byte) ([]byte, string) {
	days, clock, infinity, reason := parseTimestamp(text)
	switch {
	case reason != "":
		return dst, reason
	case infinity > 0:
		return appendString(dst, isoTimestampInfinity), ""
	case infinity < 0:
		return appendString(dst, isoTimestampNegInfinity), ""
	}
	if clock == microsPerDay {
		days, clock = days+1, 0
	}
	p.json = append(appendISODate(p.json[:0], days), 'T')
	p.json = append(appendISOClock(p.json, clock), 'Z')
	return appendBytes(dst, p.json), ""
}

// appendISODate appends days since 1970-01-01 as year-month-day, the year with a
// sign outside of 0 to 9999.
func appendISODate(dst []byte, days int64) []byte {
	year, month, day := dateOf(days)
	dst = append(appendYear(dst, year), '-')
	dst = append(appendPadded(dst, int64(month), 2), '-')
	return appendPadded(dst, int64(day), 2)
}

// appendISOClock appends microseconds of a day, up to 24:00:00.
func appendISOClock(dst []byte, micros int64) []byte {
	dst = appendClock(dst, micros/1_000_000)
	return appendFraction(dst, micros%1_000_000*1000)
}
