package steps

import (
	"math"
	"strconv"
	"time"
)

const (
	dayMicros = 24 * 60 * 60 * 1_000_000
	secMicros = 1_000_000
)

// micros is a date's midnight, or a timestamp, in microseconds. A date beyond the
// timestamps is infinitely far.
func micros(v value) int64 {
	switch {
	case v.kind != kindDate || v.n == infinite || v.n == minusInfinite:
		return v.n
	case v.n > math.MaxInt64/dayMicros:
		return infinite
	case v.n < math.MinInt64/dayMicros:
		return minusInfinite
	}
	return v.n * dayMicros
}

// parseTemporal reads PostgreSQL's text of a date, a timestamp or a timestamptz in
// ISO style. A timestamp may be written as a date, and with a T.
func parseTemporal(b []byte, k kind) (value, bool) {
	v := value{kind: k}
	switch string(b) {
	case "infinity":
		v.n = infinite
		return v, true
	case "-infinity":
		v.n = minusInfinite
		return v, true
	}
	s := scanner{b: b}
	if n := len(b) - 3; n > 0 && string(b[n:]) == " BC" {
		s.b, s.bc = b[:n], true
	}
	days, ok := s.date()
	if !ok {
		return v, false
	}
	if k == kindDate {
		v.n = days
		return v, s.end()
	}
	if days > math.MaxInt64/dayMicros-1 || days < math.MinInt64/dayMicros+1 {
		return v, false
	}
	v.n = days * dayMicros
	if s.end() {
		return v, k == kindTimestamp
	}
	clock, ok := s.clock()
	if !ok {
		return v, false
	}
	v.n += clock
	if k == kindTimestampTZ {
		offset, ok := s.zone()
		if !ok {
			return v, false
		}
		v.n -= offset
	}
	return v, s.end()
}

// scanner reads the parts of a date and a time.
type scanner struct {
	b  []byte
	i  int
	bc bool
}

func (s *scanner) end() bool { return s.i == len(s.b) }

func (s *scanner) take(c ...byte) bool {
	for _, c := range c {
		if s.i < len(s.b) && s.b[s.i] == c {
			s.i++
			return true
		}
	}
	return false
}

func (s *scanner) number(least, most int) (n int64, ok bool) {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' && s.i-start < most {
		n = 10*n + int64(s.b[s.i]-'0')
		s.i++
	}
	return n, s.i-start >= least
}

func (s *scanner) date() (days int64, ok bool) {
	year, ok1 := s.number(4, 7)
	ok2 := s.take('-')
	month, ok3 := s.number(2, 2)
	ok4 := s.take('-')
	day, ok5 := s.number(2, 2)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || month < 1 || month > 12 || day < 1 {
		return 0, false
	}
	if s.bc {
		year = 1 - year
	}
	if day > daysIn(year, month) {
		return 0, false
	}
	return daysOf(year, month, day), true
}

func (s *scanner) clock() (us int64, ok bool) {
	if !s.take(' ', 'T') {
		return 0, false
	}
	hour, ok1 := s.number(2, 2)
	ok2 := s.take(':')
	minute, ok3 := s.number(2, 2)
	if !ok1 || !ok2 || !ok3 || hour > 24 || minute > 59 {
		return 0, false
	}
	us = (hour*60 + minute) * 60 * secMicros
	if !s.take(':') {
		return us, true
	}
	second, ok := s.number(2, 2)
	if !ok || second > 60 {
		return 0, false
	}
	us += second * secMicros
	if s.take('.') {
		start := s.i
		fraction, ok := s.number(1, 6)
		if !ok {
			return 0, false
		}
		us += fraction * powers[6-(s.i-start)]
	}
	return us, true
}

func (s *scanner) zone() (us int64, ok bool) {
	if s.take('Z') {
		return 0, true
	}
	sign := int64(1)
	switch {
	case s.take('+'):
	case s.take('-'):
		sign = -1
	default:
		return 0, false
	}
	var parts [3]int64
	for i := range parts {
		if i > 0 && !s.take(':') {
			break
		}
		if parts[i], ok = s.number(2, 2); !ok {
			return 0, false
		}
	}
	return sign * ((parts[0]*60+parts[1])*60 + parts[2]) * secMicros, true
}

func daysIn(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysOf counts days from 1970-01-01 in the Gregorian calendar, as PostgreSQL has
// it for all times; year 0 is 1 BC. Years are counted from March, so that the day
// that is not in every year is the last.
func daysOf(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := floorDiv(year, 400)
	inEra := year - 400*era
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	return 146097*era + 365*inEra + inEra/4 - inEra/100 + dayOfYear - 719468
}

// civil is the inverse of daysOf.
func civil(days int64) (year, month, day int64) {
	days += 719468
	era := floorDiv(days, 146097)
	d := days - 146097*era
	inEra := (d - d/1460 + d/36524 - d/146096) / 365
	d -= 365*inEra + inEra/4 - inEra/100
	m := (5*d + 2) / 153
	year, month, day = inEra+400*era, m+3, d-(153*m+2)/5+1
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, day
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// appendTemporal appends a date or a timestamp as PostgreSQL prints it in ISO
// style, an instant in UTC.
func appendTemporal(dst []byte, v value) []byte {
	switch v.n {
	case infinite:
		return append(dst, "infinity"...)
	case minusInfinite:
		return append(dst, "-infinity"...)
	}
	days, rest := v.n, int64(0)
	if v.kind != kindDate {
		days = floorDiv(v.n, dayMicros)
		rest = v.n - days*dayMicros
	}
	year, month, day := civil(days)
	bc := year <= 0
	if bc {
		year = 1 - year
	}
	dst = padded(dst, year, 4)
	dst = padded(append(dst, '-'), month, 2)
	dst = padded(append(dst, '-'), day, 2)
	if v.kind != kindDate {
		sec := rest / secMicros
		dst = padded(append(dst, ' '), sec/3600, 2)
		dst = padded(append(dst, ':'), sec/60%60, 2)
		dst = padded(append(dst, ':'), sec%60, 2)
		if fraction := rest % secMicros; fraction > 0 {
			dst = padded(append(dst, '.'), fraction, 6)
			for dst[len(dst)-1] == '0' {
				dst = dst[:len(dst)-1]
			}
		}
		if v.kind == kindTimestampTZ {
			dst = append(dst, "+00"...)
		}
	}
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

func padded(dst []byte, n int64, digits int) []byte {
	for p := digits - 1; p > 0 && n < powers[p]; p-- {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, n, 10)
}

// instant is a Go time as a value.
func instant(t time.Time) value { return value{kind: kindTimestampTZ, n: t.UnixMicro()} }
