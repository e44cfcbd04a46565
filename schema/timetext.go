package schema

import (
	"math"
	"strconv"
)

// appendDateText appends days since 1970-01-01 as a date.
func appendDateText(dst []byte, days int64) []byte {
	switch days {
	case dateInfinity:
		return append(dst, "infinity"...)
	case dateNegInfinity:
		return append(dst, "-infinity"...)
	}
	dst, bc := appendCivil(dst, days)
	return appendEra(dst, bc)
}

// appendCivil appends year-month-day; years before 1 count backwards, for an era
// that follows the rest.
func appendCivil(dst []byte, days int64) (out []byte, bc bool) {
	const span = 1 << 40 // far outside of any int or timestamp
	year, month, day := dateOf(max(-span, min(span, days)))
	if year <= 0 {
		year, bc = 1-year, true
	}
	dst = appendPadded(dst, year, 4)
	dst = append(dst, '-')
	dst = appendPadded(dst, int64(month), 2)
	dst = append(dst, '-')
	return appendPadded(dst, int64(day), 2), bc
}

func appendEra(dst []byte, bc bool) []byte {
	if bc {
		return append(dst, " BC"...)
	}
	return dst
}

// appendTimeText appends a time of day given in units of so many nanoseconds.
func appendTimeText(dst []byte, v, unit int64) []byte {
	perSecond := 1_000_000_000 / unit
	seconds := floorDiv(v, perSecond)
	if seconds < 0 || seconds > secondsPerDay {
		return strconv.AppendInt(dst, v, 10) // no time of day: the number itself
	}
	dst = appendClock(dst, seconds)
	return appendFraction(dst, (v-seconds*perSecond)*unit)
}

// appendFraction appends the nanoseconds of a second, without trailing zeros.
func appendFraction(dst []byte, nanos int64) []byte {
	if nanos == 0 {
		return dst
	}
	start := len(dst)
	dst = appendPadded(dst, nanos+1_000_000_000, 10)
	dst[start] = '.'
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// appendTimestampText appends a count of units since 1970-01-01.
func appendTimestampText(dst []byte, v, unit int64) []byte {
	switch {
	case v == msInfinity && unit == millisecond, v == math.MaxInt64:
		return append(dst, "infinity"...)
	case v == msNegInfinity && unit == millisecond, v == math.MinInt64:
		return append(dst, "-infinity"...)
	}
	perDay := secondsPerDay * (1_000_000_000 / unit)
	days := floorDiv(v, perDay)
	dst, bc := appendCivil(dst, days)
	dst = append(dst, ' ')
	dst = appendTimeText(dst, v-days*perDay, unit)
	return appendEra(dst, bc)
}

// appendIntervalText appends microseconds as hours, minutes and seconds.
func appendIntervalText(dst []byte, micros int64) []byte {
	magnitude := uint64(micros)
	if micros < 0 {
		dst = append(dst, '-')
		magnitude = -magnitude
	}
	seconds := int64(magnitude / 1_000_000)
	dst = appendClock(dst, seconds)
	return appendFraction(dst, int64(magnitude%1_000_000)*1000)
}

// appendZonedText appends a ZonedTimestamp as the server prints it in UTC. What
// is not of Debezium's form, such as an infinity, is appended as it is.
func appendZonedText(dst, text []byte) []byte {
	start := len(dst)
	rest := text
	bc := false
	var year int64
	if len(rest) > 0 && (rest[0] == '+' || rest[0] == '-') {
		bc = rest[0] == '-'
		rest = rest[1:]
	}
	digits := 0
	for digits < len(rest) && digits < 9 && rest[digits] >= '0' && rest[digits] <= '9' {
		year = year*10 + int64(rest[digits]-'0')
		digits++
	}
	rest = rest[digits:]
	// -mm-ddThh:mm:ss, then a fraction, then Z
	if digits < 4 || len(rest) < 16 || rest[0] != '-' || rest[6] != 'T' || rest[len(rest)-1] != 'Z' {
		return append(dst, text...)
	}
	switch {
	case bc:
		year++
	case year == 0:
		year, bc = 1, true
	}
	dst = appendPadded(dst, year, 4)
	dst = append(dst, rest[:6]...)
	dst = append(dst, ' ')
	clock := trimFraction(rest[7 : len(rest)-1])
	if _, _, left, ok := scanTime(clock); !ok || len(left) > 0 {
		return append(dst[:start], text...)
	}
	dst = append(dst, clock...)
	dst = append(dst, "+00"...)
	return appendEra(dst, bc)
}

// appendZonedTimeText appends a ZonedTime as the server prints it in UTC.
func appendZonedTimeText(dst, text []byte) []byte {
	n := len(text) - 1
	if n < 8 || text[n] != 'Z' {
		return append(dst, text...)
	}
	return append(append(dst, trimFraction(text[:n])...), "+00"...)
}

func trimFraction(clock []byte) []byte {
	if len(clock) < 9 || clock[8] != '.' {
		return clock
	}
	for clock[len(clock)-1] == '0' {
		clock = clock[:len(clock)-1]
	}
	if clock[len(clock)-1] == '.' {
		clock = clock[:len(clock)-1]
	}
	return clock
}
