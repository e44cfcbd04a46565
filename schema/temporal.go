package schema

const (
	badDate      = "not a date in PostgreSQL's ISO form"
	badTime      = "not a time of day in PostgreSQL's ISO form"
	badTimestamp = "not a timestamp in PostgreSQL's ISO form"
	badRange     = "outside the range of its Avro type"

	secondsPerDay = 86400
	microsPerDay  = secondsPerDay * 1_000_000

	lastDate = 2145042905 // 5874897-12-31, PostgreSQL's

	// Debezium's constants for infinity.
	dateInfinity    = 2146033979
	dateNegInfinity = -2147472691
	msInfinity      = 9223372036825200000
	msNegInfinity   = -9223372036832400000
)

// daysOf is the number of days from 1970-01-01 in the proleptic Gregorian
// calendar; the year before 1 is 0.
func daysOf(year int64, month, day int) int64 {
	if month <= 2 {
		year--
	}
	era := floorDiv(year, 400)
	yearOfEra := year - era*400
	dayOfYear := int64(153*((month+9)%12)+2)/5 + int64(day) - 1
	dayOfEra := yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear
	return era*146097 + dayOfEra - 719468
}

// dateOf is the inverse of daysOf.
func dateOf(days int64) (year int64, month, day int) {
	days += 719468
	era := floorDiv(days, 146097)
	dayOfEra := days - era*146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	year = yearOfEra + era*400
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	m := (5*dayOfYear + 2) / 153
	day = int(dayOfYear - (153*m+2)/5 + 1)
	month = int(m) + 3
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func daysIn(year int64, month int) int {
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

// cutEra takes the suffix BC off.
func cutEra(b []byte) (rest []byte, bc bool) {
	if n := len(b) - 3; n > 0 && string(b[n:]) == " BC" {
		return b[:n], true
	}
	return b, false
}

// scanDate reads year-month-day at the start of b.
func scanDate(b []byte, bc bool) (days int64, rest []byte, ok bool) {
	var year int64
	i := 0
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		if i == 7 {
			return 0, nil, false
		}
		year = year*10 + int64(b[i]-'0')
		i++
	}
	b = b[i:]
	if i < 4 || year == 0 || len(b) < 6 || b[0] != '-' || b[3] != '-' {
		return 0, nil, false
	}
	if bc {
		year = 1 - year
	}
	month, ok1 := twoDigits(b[1:])
	day, ok2 := twoDigits(b[4:])
	if !ok1 || !ok2 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, nil, false
	}
	return daysOf(year, month, day), b[6:], true
}

func twoDigits(b []byte) (int, bool) {
	if len(b) < 2 || b[0]-'0' > 9 || b[1]-'0' > 9 {
		return 0, false
	}
	return int(b[0]-'0')*10 + int(b[1]-'0'), true
}

// scanTime reads hours:minutes:seconds[.fraction] at the start of b, up to
// 24:00:00. fraction is the digits as written.
func scanTime(b []byte) (micros int64, fraction, rest []byte, ok bool) {
	if len(b) < 8 || b[2] != ':' || b[5] != ':' {
		return 0, nil, nil, false
	}
	h, ok1 := twoDigits(b)
	m, ok2 := twoDigits(b[3:])
	s, ok3 := twoDigits(b[6:])
	if !ok1 || !ok2 || !ok3 || h > 24 || m > 59 || s > 59 {
		return 0, nil, nil, false
	}
	micros = int64(h*3600+m*60+s) * 1_000_000
	rest = b[8:]
	if len(rest) > 0 && rest[0] == '.' {
		n := 1
		unit := int64(100_000)
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			micros += int64(rest[n]-'0') * unit
			unit /= 10
			n++
		}
		if n == 1 || n > 7 {
			return 0, nil, nil, false
		}
		fraction, rest = rest[1:n], rest[n:]
	}
	if micros > microsPerDay {
		return 0, nil, nil, false
	}
	return micros, fraction, rest, true
}

// scanZone reads a UTC offset: +hh, +hh:mm or +hh:mm:ss, in seconds.
func scanZone(b []byte) (seconds int64, ok bool) {
	if len(b) < 3 || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	sign := int64(1)
	if b[0] == '-' {
		sign = -1
	}
	unit := int64(3600)
	for i := 1; ; i += 3 {
		v, ok := twoDigits(b[i:])
		if !ok || v > 59 {
			return 0, false
		}
		seconds += int64(v) * unit
		unit /= 60
		if len(b) == i+2 {
			return sign * seconds, true
		}
		if unit == 0 || b[i+2] != ':' {
			return 0, false
		}
	}
}

func parseDate(b []byte) (int64, string) {
	switch string(b) {
	case "infinity":
		return dateInfinity, ""
	case "-infinity":
		return dateNegInfinity, ""
	}
	b, bc := cutEra(b)
	days, rest, ok := scanDate(b, bc)
	if !ok || len(rest) != 0 {
		return 0, badDate
	}
	if days > lastDate {
		return 0, badRange
	}
	return days, ""
}

func parseTime(b []byte) (micros int64, reason string) {
	micros, _, rest, ok := scanTime(b)
	if !ok || len(rest) != 0 {
		return 0, badTime
	}
	return micros, ""
}

// parseTimestamp is the days since 1970-01-01 and the microseconds of the day,
// or -1 or 1 for an infinity.
func parseTimestamp(b []byte) (days, clock int64, infinity int, reason string) {
	switch string(b) {
	case "infinity":
		return 0, 0, 1, ""
	case "-infinity":
		return 0, 0, -1, ""
	}
	b, bc := cutEra(b)
	days, rest, ok := scanDate(b, bc)
	if !ok || len(rest) == 0 || rest[0] != ' ' {
		return 0, 0, 0, badTimestamp
	}
	clock, _, rest, ok = scanTime(rest[1:])
	if !ok || len(rest) != 0 {
		return 0, 0, 0, badTimestamp
	}
	return days, clock, 0, ""
}
