package schema

// parseZoned is a timestamptz, which is finite, as days since 1970-01-01 and the
// microseconds of the day, in UTC.
func parseZoned(text []byte) (days, clock int64, reason string) {
	b, bc := cutEra(text)
	days, rest, ok := scanDate(b, bc)
	if !ok || len(rest) == 0 || rest[0] != ' ' {
		return 0, 0, badTimestamp
	}
	clock, _, zone, ok := scanTime(rest[1:])
	if !ok {
		return 0, 0, badTimestamp
	}
	offset, ok := scanZone(zone)
	if !ok {
		return 0, 0, badTimestamp
	}
	clock -= offset * 1_000_000
	shift := floorDiv(clock, microsPerDay)
	return days + shift, clock - shift*microsPerDay, ""
}

// appendZonedTimestamp appends a timestamptz as Debezium's text, in UTC with so
// many fraction digits: 2020-01-01T00:00:00.000000Z. The infinities stay words.
func appendZonedTimestamp(dst, text []byte, precision int) ([]byte, string) {
	switch string(text) {
	case "infinity", "-infinity":
		return appendBytes(dst, text), ""
	}
	b, bc := cutEra(text)
	days, rest, ok := scanDate(b, bc)
	if !ok || len(rest) == 0 || rest[0] != ' ' {
		return dst, badTimestamp
	}
	micros, fraction, zone, ok := scanTime(rest[1:])
	if !ok {
		return dst, badTimestamp
	}
	offset, ok := scanZone(zone)
	if !ok {
		return dst, badTimestamp
	}
	seconds := days*secondsPerDay + micros/1_000_000 - offset
	days = floorDiv(seconds, secondsPerDay)
	year, month, day := dateOf(days)

	length := 16 + yearWidth(year)
	if precision > 0 {
		length += 1 + precision
	}
	dst = appendLong(dst, int64(length))
	dst = appendYear(dst, year)
	dst = append(dst, '-')
	dst = appendPadded(dst, int64(month), 2)
	dst = append(dst, '-')
	dst = appendPadded(dst, int64(day), 2)
	dst = append(dst, 'T')
	dst = appendClock(dst, seconds-days*secondsPerDay)
	if precision > 0 {
		dst = append(dst, '.')
		for i := range precision {
			if i < len(fraction) {
				dst = append(dst, fraction[i])
			} else {
				dst = append(dst, '0')
			}
		}
	}
	return append(dst, 'Z'), ""
}

// yearWidth is the length of a year as ISO 8601 writes it: four digits, with a
// sign outside of 0 to 9999.
func yearWidth(year int64) int {
	switch {
	case year < 0:
		return 1 + max(4, digitsOf(-year))
	case year > 9999:
		return 1 + digitsOf(year)
	}
	return 4
}

func appendYear(dst []byte, year int64) []byte {
	switch {
	case year < 0:
		dst = append(dst, '-')
		year = -year
	case year > 9999:
		dst = append(dst, '+')
	}
	return appendPadded(dst, year, 4)
}

func digitsOf(v int64) int {
	n := 1
	for v >= 10 {
		v /= 10
		n++
	}
	return n
}

// appendPadded appends v, which is not negative, with at least so many digits.
func appendPadded(dst []byte, v int64, width int) []byte {
	n := max(width, digitsOf(v))
	for range n {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; v > 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

func appendClock(dst []byte, seconds int64) []byte {
	dst = appendPadded(dst, seconds/3600, 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, seconds/60%60, 2)
	dst = append(dst, ':')
	return appendPadded(dst, seconds%60, 2)
}

// appendZonedTime appends a timetz as Debezium's text: UTC, the fraction without
// trailing zeros. 24:00:00 stays only where it is UTC already.
func appendZonedTime(dst, text []byte) ([]byte, string) {
	micros, fraction, zone, ok := scanTime(text)
	if !ok {
		return dst, badTime
	}
	offset, ok := scanZone(zone)
	if !ok {
		return dst, badTime
	}
	seconds := micros/1_000_000 - offset
	if offset != 0 || micros != microsPerDay {
		seconds -= floorDiv(seconds, secondsPerDay) * secondsPerDay
	}
	for len(fraction) > 0 && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	length := 9
	if len(fraction) > 0 {
		length += 1 + len(fraction)
	}
	dst = appendLong(dst, int64(length))
	dst = appendClock(dst, seconds)
	if len(fraction) > 0 {
		dst = append(dst, '.')
		dst = append(dst, fraction...)
	}
	return append(dst, 'Z'), ""
}
