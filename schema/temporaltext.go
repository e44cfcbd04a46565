package schema

import (
	"math"
	"strconv"
)

// appendTemporal appends a date, a time, a timestamp or an interval, in any of
// their forms, in PostgreSQL's text form. What is of no form that this package or
// Debezium writes is appended as it is.
func appendTemporal(dst []byte, c *cursor, n *node, depth int) []byte {
	switch n.typ {
	case avroRecord:
		return appendPartsText(dst, c, n, depth)
	case avroString:
		return appendISOText(dst, n.kind, c.bytes())
	}
	switch v := c.long(); n.kind {
	case KindDate:
		return appendDateText(dst, v)
	case KindTime:
		return appendTimeText(dst, v, n.unit)
	case KindTimestamp:
		return appendTimestampText(dst, v, n.unit)
	default:
		return appendIntervalText(dst, v)
	}
}

// appendISOText appends what stands as text in a record.
func appendISOText(dst []byte, kind Kind, text []byte) []byte {
	switch kind {
	case KindZonedTimestamp:
		return appendZonedText(dst, text)
	case KindZonedTime:
		return appendZonedTimeText(dst, text)
	case KindInterval:
		s, ok := parsePeriod(text)
		if !ok {
			return append(dst, text...)
		}
		return s.appendText(dst)
	}
	n := len(text) - 1
	if n < 0 || text[n] != 'Z' {
		return append(dst, text...)
	}
	if kind == KindTime {
		return append(dst, trimFraction(text[:n])...)
	}
	year, bc, rest, ok := scanISOYear(text[:n])
	switch {
	case !ok || len(rest) < 6 || rest[0] != '-' || kind == KindTimestamp && (len(rest) < 15 || rest[6] != 'T'):
		return append(dst, text...)
	case kind == KindDate && year >= infiniteDateYear, kind == KindTimestamp && year >= infiniteStampYear:
		if bc || string(text) == isoDateSnapshot {
			return append(dst, "-infinity"...)
		}
		return append(dst, "infinity"...)
	}
	dst = append(appendPadded(dst, year, 4), rest[:6]...)
	if kind == KindTimestamp {
		dst = append(append(dst, ' '), trimFraction(rest[7:])...)
	}
	return appendEra(dst, bc)
}

// The first years by which Debezium stands for an infinity; those of PostgreSQL
// end before. A snapshot of its has a positive year for the negative one as well.
const (
	infiniteDateYear  = 5877611
	infiniteStampYear = 292275055
	isoDateSnapshot   = "+292269055-12-02Z"
)

// scanISOYear reads the year of an ISO 8601 text, in PostgreSQL's count: the year 0 is
// 1 BC.
func scanISOYear(text []byte) (year int64, bc bool, rest []byte, ok bool) {
	if len(text) > 0 && (text[0] == '+' || text[0] == '-') {
		bc = text[0] == '-'
		text = text[1:]
	}
	digits := 0
	for digits < len(text) && digits < 10 && text[digits] >= '0' && text[digits] <= '9' {
		year = year*10 + int64(text[digits]-'0')
		digits++
	}
	switch {
	case bc:
		year++
	case year == 0:
		year, bc = 1, true
	}
	return year, bc, text[digits:], digits >= 4
}

// partsText is what the fields of a record of parts say.
type partsText struct {
	span                 // of an interval
	year, month, day     int64
	hour, minute, second int64
	nanos, offset        int64
	special              []byte
}

// appendPartsText appends a record of parts.
func appendPartsText(dst []byte, c *cursor, n *node, depth int) []byte {
	var p partsText
	for i := range n.fields {
		f := &n.fields[i]
		switch f.name {
		case "specialValue":
			if s := c.resolve(f.node); s != nil && s.typ == avroString {
				p.special = c.bytes()
			} else if s != nil {
				c.skip(s, depth+1)
			}
		case "zoneId", "precision":
			c.skip(f.node, depth+1)
		default:
			p.set(f.name, c.number(f.node))
		}
	}
	switch string(p.special) {
	case positiveInfinity:
		return append(dst, "infinity"...)
	case negativeInfinity:
		return append(dst, "-infinity"...)
	}
	return p.appendAs(dst, n.kind)
}

func (p *partsText) set(name string, v int64) {
	switch name {
	case "year":
		p.year = v
	case "month":
		p.month = v
	case "day":
		p.day = v
	case "hour":
		p.hour = v
	case "minute":
		p.minute = v
	case "second":
		p.second = v
	case "nanos":
		p.nanos = v
	case "offsetSeconds":
		p.offset = v
	case "years":
		p.years = v
	case "months":
		p.months = v
	case "days":
		p.days = v
	case "hours":
		p.hours = v
	case "minutes":
		p.minutes = v
	case "seconds":
		p.seconds = v
	}
}

func (p *partsText) appendAs(dst []byte, kind Kind) []byte {
	if kind == KindInterval {
		p.microsOfClock = p.nanos / 1000
		return p.span.appendText(dst)
	}
	bc := false
	if kind != KindTime && kind != KindZonedTime {
		year := p.year
		if year <= 0 {
			year, bc = 1-year, true
		}
		dst = append(appendPadded(dst, max(0, year), 4), '-')
		dst = append(appendPadded(dst, max(0, p.month), 2), '-')
		dst = appendPadded(dst, max(0, p.day), 2)
	}
	if kind != KindDate {
		if kind != KindTime && kind != KindZonedTime {
			dst = append(dst, ' ')
		}
		seconds := p.hour*3600 + p.minute*60 + p.second
		dst = appendFraction(appendClock(dst, max(0, min(seconds, secondsPerDay))), max(0, min(p.nanos, 999_999_999)))
	}
	if kind == KindZonedTimestamp || kind == KindZonedTime {
		dst = appendOffset(dst, p.offset)
	}
	return appendEra(dst, bc)
}

// appendOffset appends an offset from UTC as the server prints it: the minutes
// and seconds only where there are some.
func appendOffset(dst []byte, seconds int64) []byte {
	sign := byte('+')
	if seconds < 0 {
		sign = '-'
		seconds = -max(seconds, math.MinInt32)
	}
	dst = appendPadded(append(dst, sign), seconds/3600, 2)
	if seconds%3600 != 0 {
		dst = appendPadded(append(dst, ':'), seconds/60%60, 2)
	}
	if seconds%60 != 0 {
		dst = appendPadded(append(dst, ':'), seconds%60, 2)
	}
	return dst
}

// parsePeriod reads an ISO 8601 duration of all parts, as Debezium writes an
// interval.
func parsePeriod(b []byte) (s span, ok bool) {
	for _, p := range [...]struct {
		before, after string
		part          *int64
	}{{"P", "Y", &s.years}, {"", "M", &s.months}, {"", "DT", &s.days}, {"", "H", &s.hours}, {"", "M", &s.minutes}} {
		if len(b) < len(p.before) || string(b[:len(p.before)]) != p.before {
			return s, false
		}
		if *p.part, b, ok = leadingInt(b[len(p.before):]); !ok || len(b) < len(p.after) || string(b[:len(p.after)]) != p.after {
			return s, false
		}
		b = b[len(p.after):]
	}
	negative := len(b) > 0 && b[0] == '-'
	if s.seconds, b, ok = leadingInt(b); !ok || len(b) == 0 {
		return s, false
	}
	if b[0] == '.' {
		unit := int64(100_000)
		for b = b[1:]; len(b) > 0 && b[0] >= '0' && b[0] <= '9'; b = b[1:] {
			s.microsOfClock += int64(b[0]-'0') * unit
			unit /= 10
		}
		if negative {
			s.microsOfClock = -s.microsOfClock
		}
	}
	return s, string(b) == "S"
}

// leadingInt reads a number with or without sign.
func leadingInt(b []byte) (v int64, rest []byte, ok bool) {
	n := 0
	if len(b) > 0 && b[0] == '-' {
		n = 1
	}
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	v, ok = parseInt(b[:n], 1<<62)
	return v, b[n:], ok
}

// appendText appends an interval in the style postgres.
func (s *span) appendText(dst []byte) []byte {
	start := len(dst)
	before := false // the part before was negative
	for _, p := range [...]struct {
		v    int64
		unit string
	}{{s.years, " year"}, {s.months, " mon"}, {s.days, " day"}} {
		if p.v == 0 {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		if before && p.v > 0 {
			dst = append(dst, '+')
		}
		dst = append(strconv.AppendInt(dst, p.v, 10), p.unit...)
		if p.v != 1 {
			dst = append(dst, 's')
		}
		before = p.v < 0
	}
	clock := s.hours != 0 || s.minutes != 0 || s.seconds != 0 || s.microsOfClock != 0
	if len(dst) > start && !clock {
		return dst
	}
	if len(dst) > start {
		dst = append(dst, ' ')
	}
	abs := func(v int64) int64 { return max(v, -v) }
	switch {
	case s.hours < 0 || s.minutes < 0 || s.seconds < 0 || s.microsOfClock < 0:
		dst = append(dst, '-')
	case before:
		dst = append(dst, '+')
	}
	dst = append(appendPadded(dst, abs(s.hours), 2), ':')
	dst = append(appendPadded(dst, abs(s.minutes), 2), ':')
	dst = appendPadded(dst, abs(s.seconds), 2)
	return appendFraction(dst, abs(s.microsOfClock)*1000)
}
