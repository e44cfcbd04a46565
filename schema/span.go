package schema

import (
	"math"
	"math/bits"
	"strconv"
)

// span is an interval in PostgreSQL's parts. All parts of the clock have one sign.
type span struct {
	years, months, days                    int64
	hours, minutes, seconds, microsOfClock int64
}

const (
	badInterval = "not an interval in the style postgres"
	badHours    = "an interval of more hours than its record holds"
	infinite    = "an infinite interval has no form as a number or in parts"
)

// parseSpan reads an interval in PostgreSQL's style postgres:
// 1 year 2 mons -3 days +04:05:06.78
func parseSpan(b []byte) (s span, reason string) {
	switch string(b) {
	case "infinity", "-infinity":
		return s, infinite
	case "":
		return s, badInterval
	}
	for len(b) > 0 {
		if b[0] == ' ' {
			b = b[1:]
		}
		n, sign := 0, int64(1)
		if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
			if b[0] == '-' {
				sign = -1
			}
			b = b[1:]
		}
		var v int64
		for n < len(b) && n < 18 && b[n] >= '0' && b[n] <= '9' {
			v = v*10 + int64(b[n]-'0')
			n++
		}
		if n == 0 || n == len(b) {
			return s, badInterval
		}
		if b[n] == ':' {
			return s, s.clock(v, b[n:], sign)
		}
		part, rest := s.unit(b[n:])
		v *= sign
		if part == nil || v != int64(int32(v)) || len(rest) > 0 && rest[0] != ' ' {
			return s, badInterval
		}
		*part = v
		b = rest
	}
	return s, ""
}

// unit finds the part that a word after a number stands for.
func (s *span) unit(b []byte) (part *int64, rest []byte) {
	for _, u := range [...]struct {
		word string
		part *int64
	}{
		{" years", &s.years}, {" year", &s.years}, {" mons", &s.months}, {" mon", &s.months}, {" days", &s.days}, {" day", &s.days},
	} {
		if len(b) >= len(u.word) && string(b[:len(u.word)]) == u.word {
			return u.part, b[len(u.word):]
		}
	}
	return nil, b
}

// clock reads :minutes:seconds[.fraction] after the hours, which are not bounded
// by a day. Nothing may follow.
func (s *span) clock(hours int64, b []byte, sign int64) (reason string) {
	var text [18]byte
	if len(b) < 6 || len(b) > len(text)-2 || hours > math.MaxInt64/3_600_000_000 {
		return badInterval
	}
	text[0], text[1] = '0', '0'
	micros, _, rest, ok := scanTime(text[:2+copy(text[2:], b)])
	if !ok || len(rest) != 0 {
		return badInterval
	}
	s.hours = sign * hours
	s.minutes = sign * (micros / 60_000_000)
	s.seconds = sign * (micros / 1_000_000 % 60)
	s.microsOfClock = sign * (micros % 1_000_000)
	return ""
}

// micros is the interval as microseconds, a month counting 30.4375 days as in
// Debezium, a day 24 hours.
func (s *span) micros() (int64, string) {
	const month = 2_629_800_000_000
	var hi, lo uint64
	add := func(v, unit int64) {
		h, l := bits.Mul64(uint64(max(v, -v)), uint64(unit))
		if v < 0 {
			var borrow uint64
			l, borrow = bits.Sub64(0, l, 0)
			h, _ = bits.Sub64(0, h, borrow)
		}
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi, _ = bits.Add64(hi, h, carry)
	}
	add(s.years, 12*month)
	add(s.months, month)
	add(s.days, microsPerDay)
	add(s.hours, 3_600_000_000)
	add(s.minutes, 60_000_000)
	add(s.seconds, 1_000_000)
	add(s.microsOfClock, 1)
	if v := int64(lo); uint64(v>>63) == hi && v != math.MinInt64 {
		return v, ""
	}
	return 0, badRange
}

// appendPeriod appends Debezium's ISO 8601 text: every part, each with its sign.
func (s *span) appendPeriod(dst []byte) []byte {
	for _, p := range [...]struct {
		v    int64
		unit string
	}{{s.years, "Y"}, {s.months, "M"}, {s.days, "DT"}, {s.hours, "H"}, {s.minutes, "M"}} {
		if p.unit == "Y" {
			dst = append(dst, 'P')
		}
		dst = append(strconv.AppendInt(dst, p.v, 10), p.unit...)
	}
	if s.seconds == 0 && s.microsOfClock < 0 {
		dst = append(dst, '-')
	}
	dst = strconv.AppendInt(dst, s.seconds, 10)
	dst = appendFraction(dst, 1000*max(s.microsOfClock, -s.microsOfClock))
	return append(dst, 'S')
}

// encodePeriod appends an interval as text; its infinities only where the
// settings ask for text.
func (p *Plan) encodePeriod(dst, text []byte) ([]byte, string) {
	s, reason := parseSpan(text)
	switch {
	case reason == infinite && p.textNonfinite:
		return appendBytes(dst, text), ""
	case reason != "":
		return dst, reason
	}
	p.json = s.appendPeriod(p.json[:0])
	return appendBytes(dst, p.json), ""
}

func encodeDuration(dst, text []byte) ([]byte, string) {
	s, reason := parseSpan(text)
	if reason != "" {
		return dst, reason
	}
	v, reason := s.micros()
	return appendLong(dst, v), reason
}
