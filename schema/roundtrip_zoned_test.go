package schema

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The session's zone is UTC, so the server sends +00; the oracle takes any offset
// that PostgreSQL can print.
const serverZone = `([+-])([0-9]{2})(?::([0-9]{2}))?(?::([0-9]{2}))?`

var (
	zonedPattern  = regexp.MustCompile(`^` + serverDate + ` ` + serverClock + serverZone + `( BC)?$`)
	timetzPattern = regexp.MustCompile(`^` + serverClock + serverZone + `$`)
)

// offsetOf is an offset of at most 15:59:59, PostgreSQL's largest.
func offsetOf(sign, h, m, s string) (time.Duration, bool) {
	part := func(s string) int { v, _ := strconv.Atoi(s); return v }
	d := time.Duration(part(h))*time.Hour + time.Duration(part(m))*time.Minute + time.Duration(part(s))*time.Second
	ok := d < 16*time.Hour && part(m) < 60 && part(s) < 60 && (m+s == "" || m+s != "00" && s != "00")
	if sign == "-" {
		ok = ok && d > 0 // the server's zero is +00
		d = -d
	}
	return d, ok
}

func offsetText(d time.Duration) string {
	sign := "+"
	if d < 0 {
		sign, d = "-", -d
	}
	s := fmt.Sprintf("%s%02d", sign, int(d.Hours()))
	if d%time.Hour != 0 {
		s += fmt.Sprintf(":%02d", int(d.Minutes())%60)
	}
	if d%time.Minute != 0 {
		s += fmt.Sprintf(":%02d", int(d.Seconds())%60)
	}
	return s
}

func drawOffset(r *rand.Rand) time.Duration {
	return []time.Duration{0, 0, 0, time.Hour, -time.Hour, 5*time.Hour + 30*time.Minute, -(3*time.Hour + 30*time.Minute), 19*time.Minute + 32*time.Second, -(15*time.Hour + 13*time.Minute + 42*time.Second), 14 * time.Hour}[r.IntN(10)]
}

// FuzzRoundTripTimestamptz: the oracle is Go's calendar. The offset is lost, since
// everything becomes UTC; PostgreSQL does not keep it either.
func FuzzRoundTripTimestamptz(f *testing.F) {
	timestamptzFamily(f).fuzz(f,
		"infinity", "-infinity", "2016-11-04 13:51:30.123456+02", "2016-11-04 13:51:30+00", "1900-01-01 00:00:00+00:19:32", "0044-03-15 12:00:00.5+05:30 BC", "0001-01-01 00:30:00+01", "0001-12-31 23:30:00-01 BC",
		"9999-12-31 23:30:00-01", "10000-01-01 00:00:00+00", "294276-12-31 23:59:59.999999+00", "294276-12-31 23:59:59.999999-15:59:59", "4714-11-24 00:00:00+00 BC", "2024-02-29 24:00:00+00", "2024-02-29 12:00:00", "2024-02-29 12:00:00Z", "2024-02-29 12:00:00+99", "2024-02-29 12:00:00+00:60", "2024-02-29 12:00:00+",
	)
}

func timestamptzFamily(t testing.TB) family {
	t.Helper()
	var fam family
	for _, p := range []int{-1, 0, 3, 6} {
		digits := p
		if p < 0 {
			digits = 6
		}
		fam.add(t, timeModes, base("timestamptz"), int32(p), func(r *rand.Rand) string {
			if r.IntN(20) == 0 {
				return []string{"infinity", "-infinity"}[r.IntN(2)]
			}
			offset := drawOffset(r)
			local := moment{day: drawDay(r, 294275), clock: drawClock(r, digits) % (24 * time.Hour)}
			text := local.text("timestamp")
			if rest, bc := strings.CutSuffix(text, " BC"); bc {
				return rest + offsetText(offset) + " BC"
			}
			return text + offsetText(offset)
		}, func(t *testing.T, c *course, text string, o outcome) {
			t.Helper()
			judgeTimestamptz(t, c, text, o, digits)
		})
	}
	return fam
}

func judgeTimestamptz(t *testing.T, c *course, text string, o outcome, digits int) {
	t.Helper()
	if text == "infinity" || text == "-infinity" {
		if c.settings.Time == "structured" {
			m := moment{infinity: 1}
			if text[0] == '-' {
				m.infinity = -1
			}
			o.zonedParts(t, c, text, m, digits, nil, text)
			return
		}
		o.is(t, c, text, text, text)
		return
	}
	m := zonedPattern.FindStringSubmatch(text)
	if m == nil {
		return
	}
	day, ok1 := dayOf(m[1], m[2], m[3], m[12])
	clock, ok2 := clockOf(m[4], m[5], m[6], m[7])
	offset, ok3 := offsetOf(m[8], m[9], m[10], m[11])
	if !ok1 || !ok2 || !ok3 || clock == 24*time.Hour || clock%time.Duration(math.Pow10(9-digits)) != 0 || day.Year() > 294276 {
		return
	}
	utc := day.Add(clock).Add(-offset)
	at := moment{day: utc.Truncate(24 * time.Hour)}
	at.day = time.Date(utc.Year(), utc.Month(), utc.Day(), 0, 0, 0, 0, time.UTC)
	at.clock = time.Duration(utc.Hour())*time.Hour + time.Duration(utc.Minute())*time.Minute + time.Duration(utc.Second())*time.Second + time.Duration(utc.Nanosecond())
	want := isoYear(utc) + utc.Format("-01-02T15:04:05")
	if digits > 0 {
		want += fmt.Sprintf(".%09d", utc.Nanosecond())[:digits+1]
	}
	back := at.text("timestamp")
	if rest, bc := strings.CutSuffix(back, " BC"); bc {
		back = rest + "+00 BC"
	} else {
		back += "+00"
	}
	if c.settings.Time == "structured" {
		zero := 0
		o.zonedParts(t, c, text, at, digits, &zero, back)
		return
	}
	o.is(t, c, text, want+"Z", back)
}

// zonedParts is parts with an offset; without one for an infinity. A timestamp
// has the zone Z too.
func (o outcome) zonedParts(t *testing.T, c *course, text string, m moment, precision int, offset *int, back string) {
	t.Helper()
	got, ok := o.native.(map[string]any)
	if o.err != nil || !ok {
		t.Fatalf("%s: %q: got %v, %v", c.name, text, o.native, o.err)
	}
	var wantOffset, wantZone any
	if offset != nil {
		wantOffset = map[string]any{"int": int32(*offset)}
		wantZone = map[string]any{"string": "Z"}
	}
	if fmt.Sprint(got["offsetSeconds"]) != fmt.Sprint(wantOffset) {
		t.Fatalf("%s: %q: offset %v, want %v", c.name, text, got["offsetSeconds"], wantOffset)
	}
	if c.typ.Name == "timestamptz" && fmt.Sprint(got["zoneId"]) != fmt.Sprint(wantZone) {
		t.Fatalf("%s: %q: zone %v, want %v", c.name, text, got["zoneId"], wantZone)
	}
	rest := map[string]any{}
	for name, v := range got {
		if name != "offsetSeconds" && name != "zoneId" {
			rest[name] = v
		}
	}
	plain := *c
	plain.typ = base(strings.TrimSuffix(strings.TrimSuffix(c.typ.Name, "tz"), "stamp"))
	if c.typ.Name == "timestamptz" {
		plain.typ = base("timestamp")
	}
	outcome{native: rest, text: o.text}.parts(t, &plain, text, m, &precision, back)
}

// FuzzRoundTripTimetz: becomes UTC, so the offset is lost, but in the structured
// form. 24:00:00 stays where it is UTC already; elsewhere it is the time that it
// is in UTC.
func FuzzRoundTripTimetz(f *testing.F) {
	timetzFamily(f).fuzz(f,
		"24:00:00+00", "24:00:00+02", "24:00:00-02", "24:00:00+05:30", "00:00:00+14", "00:00:00-14", "23:59:59.999999-15:59:59", "13:51:30.123789+02", "10:00:00.5+00", "10:00:00.1234+01", "10:00:00.00001+00", "00:01:00-07", "12:00:00", "12:00:00Z", "12:00:00+02:00:00", "12:00:00+2", "12:00:00.0+00", "24:00:00-00", "00:01:00-27",
	)
}

func timetzFamily(t testing.TB) family {
	t.Helper()
	var fam family
	fam.add(t, timeModes, base("timetz"), -1, func(r *rand.Rand) string {
		return moment{clock: drawClock(r, 6)}.text("time") + offsetText(drawOffset(r))
	}, judgeTimetz)
	return fam
}

func judgeTimetz(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	m := timetzPattern.FindStringSubmatch(text)
	if m == nil {
		return
	}
	clock, ok1 := clockOf(m[1], m[2], m[3], m[4])
	offset, ok2 := offsetOf(m[5], m[6], m[7], m[8])
	if !ok1 || !ok2 {
		return
	}
	if c.settings.Time == "structured" {
		seconds := int(offset / time.Second)
		o.zonedParts(t, c, text, moment{clock: clock}, 6, &seconds, text)
		return
	}
	utc := clock - offset
	if offset != 0 || clock != 24*time.Hour {
		utc = (utc%(24*time.Hour) + 24*time.Hour) % (24 * time.Hour)
	}
	want := moment{clock: utc}.text("time")
	o.is(t, c, text, want+"Z", want+"+00")
}

// FuzzRoundTripInterval: as a number of microseconds a month is 30.4375 days and a
// day 24 hours, so months and days are lost in the sum; as text and as parts
// nothing is. Infinite intervals are refused or written by Nonfinite.
func FuzzRoundTripInterval(f *testing.F) {
	intervalFamily(f).fuzz(f,
		"00:00:00", "1 year 2 mons 3 days 04:05:06.78", "-1 days", "-00:00:00.000001", "1 mon", "1 year -1 days", "100 years 11 mons 29 days 23:59:59.999999", "1 day +02:03:04", "-1 days +02:03:04", "1 mon -1 days", "-1 years -2 mons +3 days -04:05:06.7",
		"infinity", "-infinity", "178000000 years", "-178000000 years", "2147483647 days", "-2147483648 days", "2147483648 days", "-2147484638 days", "2562047788:00:54.775807", "-2562047788:00:54.775808", "178956970 years 7 mons 2147483647 days 2562047788:00:54.775807",
		"6 years", "5 mons", "-23:59:00", "@ 1 minute ago", "P1Y2M", "1-2", "1 2:03:04", "1 week", "1.5 days", "+1 days", "1 year 1 year", "438389 years 6 mons -62949901 days -219242598:55:57.65971", "00:00:60", "00:60:00", "00:00", "1 hour",
	)
}

func intervalFamily(t testing.TB) family {
	t.Helper()
	var fam family
	fam.add(t, compat(Settings{}, Settings{Interval: "string"}, Settings{Time: "structured"}, Settings{Time: "structured", Interval: "string"},
		Settings{Nonfinite: "null"}, Settings{Interval: "string", Nonfinite: "null"}, Settings{Nonfinite: "string"}, Settings{Time: "structured", Nonfinite: "string"}), base("interval"), -1, drawInterval, judgeInterval)
	return fam
}

var serverInterval = regexp.MustCompile(`^(?:(-?[0-9]{1,9}) years?)?(?: ?([+-]?[0-9]{1,2}) mons?)?(?: ?([+-]?[0-9]{1,10}) days?)?(?: ?([+-]?)([0-9]{2,10}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?)?$`)

// interval is PostgreSQL's: three numbers that do not add up to one.
type interval struct {
	months, days, micros int64
}

func intervalOf(text string) (interval, bool) {
	m := serverInterval.FindStringSubmatch(text)
	if m == nil || text == "" {
		return interval{}, false
	}
	part := func(s string) int64 { v, _ := strconv.ParseInt(s, 10, 64); return v }
	var i interval
	i.months = part(m[1])*12 + part(m[2])
	i.days = part(m[3])
	hours := part(m[5])
	if hours > 2562047788 || i.months != int64(int32(i.months)) || i.days != int64(int32(i.days)) {
		return interval{}, false
	}
	total := new(big.Int).SetInt64(hours)
	total.Mul(total, big.NewInt(3_600_000_000))
	total.Add(total, big.NewInt(part(m[6])*60_000_000+part(m[7])*1_000_000+part((m[8] + "000000")[:6])))
	if m[4] == "-" {
		total.Neg(total)
	}
	i.micros = total.Int64()
	return i, total.IsInt64() && i.text() == text // nothing but what the server prints
}

// text is interval_out in the style postgres.
func (i interval) text() string {
	var words []string
	before := false
	add := func(v int64, unit string) {
		if v == 0 {
			return
		}
		sign := ""
		if before && v > 0 {
			sign = "+"
		}
		if v != 1 {
			unit += "s"
		}
		words = append(words, fmt.Sprintf("%s%d %s", sign, v, unit))
		before = v < 0
	}
	add(i.months/12, "year")
	add(i.months%12, "mon")
	add(i.days, "day")
	if i.micros != 0 || len(words) == 0 {
		sign := ""
		switch {
		case i.micros < 0:
			sign = "-"
		case before:
			sign = "+"
		}
		words = append(words, sign+hoursText(i.micros))
	}
	return strings.Join(words, " ")
}

// hoursText is the magnitude of a count of microseconds, as a clock.
func hoursText(micros int64) string {
	v := new(big.Int).Abs(big.NewInt(micros)).Uint64()
	s := fmt.Sprintf("%02d:%02d:%02d", v/3_600_000_000, v/60_000_000%60, v/1_000_000%60)
	if f := v % 1_000_000; f != 0 {
		s += strings.TrimRight(fmt.Sprintf(".%06d", f), "0")
	}
	return s
}

func judgeInterval(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	if text == "infinity" || text == "-infinity" {
		judgeInfiniteInterval(t, c, text, o)
		return
	}
	i, ok := intervalOf(text)
	if !ok {
		return
	}
	switch s := c.settings; {
	case s.Nonfinite == "string" && !s.Compat, s.Interval == "string" && s.Time == "":
		o.is(t, c, text, i.iso(), text)
	case s.Time == "structured":
		if hours := i.micros / 3_600_000_000; hours > math.MaxInt32 || hours < -math.MaxInt32 {
			o.refused(t, c, text)
			return
		}
		i.parts(t, c, text, o)
	default:
		sum := new(big.Int).Mul(big.NewInt(i.months), big.NewInt(2_629_800_000_000))
		sum.Add(sum, new(big.Int).Mul(big.NewInt(i.days), big.NewInt(86_400_000_000)))
		sum.Add(sum, big.NewInt(i.micros))
		if !sum.IsInt64() || sum.Int64() == math.MinInt64 {
			o.refused(t, c, text)
			return
		}
		o.is(t, c, text, sum.Int64(), interval{micros: sum.Int64()}.text())
	}
}

func judgeInfiniteInterval(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	switch s := c.settings; {
	case s.Nonfinite == "string" && !s.Compat:
		o.is(t, c, text, text, text)
	case s.Nonfinite == "null":
		o.isNull(t, c, text)
	default:
		o.refused(t, c, text)
	}
}

// iso is Debezium's text: every part, each with its own sign, hours beyond a day.
func (i interval) iso() string {
	v := new(big.Int).Abs(big.NewInt(i.micros)).Uint64()
	sign := ""
	if i.micros < 0 {
		sign = "-"
	}
	signed := func(v uint64) string {
		if v == 0 {
			return "0"
		}
		return sign + strconv.FormatUint(v, 10)
	}
	seconds := signed(v / 1_000_000 % 60)
	if f := v % 1_000_000; f != 0 {
		if seconds == "0" {
			seconds = sign + "0"
		}
		seconds += strings.TrimRight(fmt.Sprintf(".%06d", f), "0")
	}
	return fmt.Sprintf("P%dY%dM%dDT%sH%sM%sS", i.months/12, i.months%12, i.days, signed(v/3_600_000_000), signed(v/60_000_000%60), seconds)
}

func (i interval) parts(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	got, ok := o.native.(map[string]any)
	if o.err != nil || !ok {
		t.Fatalf("%s: %q: got %v, %v", c.name, text, o.native, o.err)
	}
	number := func(name string) int64 {
		v, _ := unwrapped(got[name]).(int32)
		if long, ok := unwrapped(got[name]).(int64); ok {
			return long
		}
		return int64(v)
	}
	months := number("years")*12 + number("months")
	micros := new(big.Int).Mul(big.NewInt(number("hours")), big.NewInt(3_600_000_000))
	micros.Add(micros, new(big.Int).Mul(big.NewInt(number("minutes")), big.NewInt(60_000_000)))
	micros.Add(micros, new(big.Int).Mul(big.NewInt(number("seconds")), big.NewInt(1_000_000)))
	micros.Add(micros, big.NewInt(number("nanos")/1000))
	if months != i.months || number("days") != i.days || micros.Cmp(big.NewInt(i.micros)) != 0 || number("precision") != 6 {
		t.Fatalf("%s: %q: got %v", c.name, text, got)
	}
	if o.text != text {
		t.Fatalf("%s: %q came back as %q", c.name, text, o.text)
	}
}

func drawInterval(r *rand.Rand) string {
	if r.IntN(20) == 0 {
		return []string{"infinity", "-infinity"}[r.IntN(2)]
	}
	number := func(bits int) int64 {
		if r.IntN(4) == 0 {
			return 0
		}
		v := int64(r.Uint64() >> (64 - 1 - r.IntN(bits)))
		if r.IntN(2) == 0 {
			v = -v
		}
		return v
	}
	return interval{number(31), number(31), number(62)}.text()
}
