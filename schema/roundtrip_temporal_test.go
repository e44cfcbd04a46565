package schema

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// timeModes are all modes of format.time; the first is the default.
var timeModes = compat(Settings{}, Settings{Time: "adaptive_time_microseconds"}, Settings{Time: "connect"}, Settings{Time: "isostring"},
	Settings{Time: "microseconds"}, Settings{Time: "nanoseconds"}, Settings{Time: "structured"})

// moment is a date, a time of day or both, by Go's calendar. The clock can be
// 24:00:00.
type moment struct {
	day      time.Time // at midnight UTC
	clock    time.Duration
	infinity int
}

var (
	serverDate  = `([0-9]{4,7})-([0-9]{2})-([0-9]{2})`
	serverClock = `([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?`
	datePattern = regexp.MustCompile(`^` + serverDate + `( BC)?$`)
	timePattern = regexp.MustCompile(`^` + serverClock + `$`)
	bothPattern = regexp.MustCompile(`^` + serverDate + ` ` + serverClock + `( BC)?$`)
)

// dayOf checks that a day exists, by building it.
func dayOf(year, month, day, era string) (time.Time, bool) {
	if len(year) > 4 && year[0] == '0' {
		return time.Time{}, false
	}
	y, _ := strconv.Atoi(year)
	m, _ := strconv.Atoi(month)
	d, _ := strconv.Atoi(day)
	if y == 0 {
		return time.Time{}, false
	}
	if era != "" {
		y = 1 - y
	}
	t := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	return t, t.Year() == y && int(t.Month()) == m && t.Day() == d
}

func clockOf(h, m, s, fraction string) (time.Duration, bool) {
	if strings.HasSuffix(fraction, "0") {
		return 0, false // the server leaves zeros out
	}
	d, err := time.ParseDuration(h + "h" + m + "m" + s + "." + fraction + "0s")
	return d, err == nil && d <= 24*time.Hour && m < "60" && s < "60"
}

func dateMoment(text string) (moment, bool) {
	switch text {
	case "infinity":
		return moment{infinity: 1}, true
	case "-infinity":
		return moment{infinity: -1}, true
	}
	m := datePattern.FindStringSubmatch(text)
	if m == nil {
		return moment{}, false
	}
	day, ok := dayOf(m[1], m[2], m[3], m[4])
	// 4713-11-24 BC to 5874897-12-31
	return moment{day: day}, ok && day.Unix() >= -210866803200 && day.Year() <= 5874897
}

func timeMoment(text string) (moment, bool) {
	m := timePattern.FindStringSubmatch(text)
	if m == nil {
		return moment{}, false
	}
	clock, ok := clockOf(m[1], m[2], m[3], m[4])
	return moment{clock: clock}, ok
}

func bothMoment(text string) (moment, bool) {
	switch text {
	case "infinity":
		return moment{infinity: 1}, true
	case "-infinity":
		return moment{infinity: -1}, true
	}
	m := bothPattern.FindStringSubmatch(text)
	if m == nil {
		return moment{}, false
	}
	day, ok1 := dayOf(m[1], m[2], m[3], m[8])
	clock, ok2 := clockOf(m[4], m[5], m[6], m[7])
	return moment{day: day, clock: clock}, ok1 && ok2 && clock < 24*time.Hour && day.Year() <= 294276
}

func (m moment) text(pattern string) string {
	s := pgDate(m.day)
	if pattern != "date" {
		clock := fmt.Sprintf("%02d:%02d:%02d", int(m.clock.Hours()), int(m.clock.Minutes())%60, int(m.clock.Seconds())%60)
		if f := m.clock % time.Second; f != 0 {
			clock += strings.TrimRight(fmt.Sprintf(".%06d", f.Microseconds()), "0")
		}
		if pattern == "time" {
			return clock
		}
		s += " " + clock
	}
	return s + era(m.day)
}

// FuzzRoundTripDate: the oracle is Go's calendar. Nothing is lost in any mode; the
// infinities are Debezium's days, and its words in the text forms.
func FuzzRoundTripDate(f *testing.F) {
	dateFamily(f).fuzz(f,
		"infinity", "-infinity", "1970-01-01", "1969-12-31", "1582-10-04", "1582-10-15", "1582-10-10", "0001-01-01", "0001-12-31 BC", "4714-11-24 BC", "4713-01-01 BC", "5874897-12-31", "5874898-01-01", "7000000-01-01",
		"2000-02-29", "1900-02-29", "2024-02-30", "0000-01-01", "10000-01-01", "010000-01-01", "294276-12-31", "2024-1-1", "2024-01-01 AD", "04-01-2024", "2024-13-01", "2024-00-10", "2024-01-00", "97-01-01", " BC",
	)
}

func dateFamily(t testing.TB) family {
	t.Helper()
	var fam family
	fam.add(t, timeModes, base("date"), -1, func(r *rand.Rand) string {
		if r.IntN(20) == 0 {
			return []string{"infinity", "-infinity"}[r.IntN(2)]
		}
		return moment{day: drawDay(r, 5874897)}.text("date")
	}, judgeDate)
	return fam
}

func judgeDate(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	m, ok := dateMoment(text)
	if !ok {
		return
	}
	days := int32(floorDiv(m.day.Unix(), 86400))
	iso := isoYear(m.day) + m.day.Format("-01-02Z")
	switch m.infinity {
	case 1:
		days, iso = 2146033979, "+5877611-06-21Z"
	case -1:
		days, iso = -2147472691, "-5877611-06-22Z"
	}
	switch c.settings.Time {
	case "isostring":
		o.is(t, c, text, iso, text)
	case "structured":
		o.parts(t, c, text, m, nil, text)
	default:
		o.is(t, c, text, days, text)
	}
}

// isoYear is a year as ISO 8601 extends it.
func isoYear(d time.Time) string {
	switch y := d.Year(); {
	case y < 0:
		return fmt.Sprintf("-%04d", -y)
	case y > 9999:
		return fmt.Sprintf("+%d", y)
	default:
		return fmt.Sprintf("%04d", y)
	}
}

// parts compares the record of a structured time, and the text that comes back.
// precision is nil for a date.
func (o outcome) parts(t *testing.T, c *course, text string, m moment, precision *int, back string) {
	t.Helper()
	got, ok := o.native.(map[string]any)
	if o.err != nil || !ok {
		t.Fatalf("%s: %q: got %v, %v", c.name, text, o.native, o.err)
	}
	want := map[string]any{}
	put := func(name string, v int) { want[name] = map[string]any{"int": int32(v)} }
	if c.typ.Name != "time" {
		put("year", m.day.Year())
		put("month", int(m.day.Month()))
		put("day", m.day.Day())
		want["specialValue"] = nil
	}
	if c.typ.Name != "date" {
		put("hour", int(m.clock/time.Hour))
		put("minute", int(m.clock/time.Minute)%60)
		put("second", int(m.clock/time.Second)%60)
		put("nanos", int(m.clock%time.Second))
		put("precision", *precision)
	}
	if m.infinity != 0 {
		for name := range want {
			if name != "precision" {
				want[name] = nil
			}
		}
		want["specialValue"] = map[string]any{"string": map[int]string{1: "POSITIVE_INFINITY", -1: "NEGATIVE_INFINITY"}[m.infinity]}
	}
	for name, v := range got { // goavro gives every field
		if fmt.Sprint(v) != fmt.Sprint(want[name]) {
			t.Fatalf("%s: %q: %s is %v, want %v", c.name, text, name, v, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Fatalf("%s: %q: without %v", c.name, text, want)
	}
	if o.text != back {
		t.Fatalf("%s: %q came back as %q, want %q", c.name, text, o.text, back)
	}
}

// FuzzRoundTripTime: microseconds and nanoseconds lose nothing, milliseconds are
// cut; 24:00:00 is a time of its own.
func FuzzRoundTripTime(f *testing.F) {
	timeFamily(f).fuzz(f,
		"00:00:00", "24:00:00", "23:59:59.999999", "00:00:00.000001", "23:59:60", "24:00:00.000001", "24:01:00", "25:00:00", "12:34:56.5", "12:34:56.123", "12:34:56.1234", "12:34:56.120",
		"12:34", "12:34:56+02", "1:2:3", "12:60:00", "12:34:56.", "12:34:56.1234567", "allballs",
	)
}

func timeFamily(t testing.TB) family {
	t.Helper()
	var fam family
	for _, p := range []int{-1, 0, 3, 4, 6} {
		digits := p
		if p < 0 {
			digits = 6
		}
		fam.add(t, timeModes, base("time"), int32(p), func(r *rand.Rand) string {
			return moment{clock: drawClock(r, digits)}.text("time")
		}, func(t *testing.T, c *course, text string, o outcome) {
			t.Helper()
			judgeTime(t, c, text, o, digits)
		})
	}
	return fam
}

func judgeTime(t *testing.T, c *course, text string, o outcome, digits int) {
	t.Helper()
	m, ok := timeMoment(text)
	if !ok || m.clock%time.Duration(math.Pow10(9-digits)) != 0 {
		return
	}
	millis := m.clock.Truncate(time.Millisecond)
	switch {
	case c.settings.Time == "isostring":
		o.is(t, c, text, text+"Z", text)
	case c.settings.Time == "structured":
		o.parts(t, c, text, m, &digits, text)
	case c.settings.Time == "nanoseconds":
		o.is(t, c, text, m.clock.Nanoseconds(), text)
	case c.settings.Time == "connect", c.settings.Time == "" && digits <= 3:
		o.is(t, c, text, int32(millis.Milliseconds()), moment{clock: millis}.text("time"))
	default:
		o.is(t, c, text, m.clock.Microseconds(), text)
	}
}

// FuzzRoundTripTimestamp: as times, over PostgreSQL's whole range. Microseconds
// of 64 bits end 29 years before it does, nanoseconds in 1677 and 2262.
func FuzzRoundTripTimestamp(f *testing.F) {
	timestampFamily(f).fuzz(f,
		"infinity", "-infinity", "1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "1969-12-31 23:59:59.9999", "294276-12-31 23:59:59.999999", "294277-01-01 00:00:00", "8294247-01-10 04:00:54.7", "294247-01-10 04:00:54.775807", "294247-01-10 04:00:54.775808",
		"4714-11-24 00:00:00 BC", "0001-12-31 23:59:59.999999 BC", "0001-01-01 00:00:00", "1582-10-04 00:00:00", "1677-09-21 00:12:43.145225", "1677-09-21 00:12:43.145224", "2262-04-11 23:47:16.854775", "2262-04-11 23:47:16.854776",
		"2024-02-29 24:00:00", "2024-02-29T12:00:00", "2024-02-29 12:00:00+00", "2024-02-29", "2024-02-29 12:00:00.000000", "2001-02-16 20:38:40", "1997-02-10 17:32:01.4", "epoch", "now",
	)
}

func timestampFamily(t testing.TB) family {
	t.Helper()
	var fam family
	for _, p := range []int{-1, 0, 3, 4, 6} {
		digits := p
		if p < 0 {
			digits = 6
		}
		fam.add(t, timeModes, base("timestamp"), int32(p), func(r *rand.Rand) string {
			if r.IntN(20) == 0 {
				return []string{"infinity", "-infinity"}[r.IntN(2)]
			}
			return moment{day: drawDay(r, 294276), clock: drawClock(r, digits) % (24 * time.Hour)}.text("timestamp")
		}, func(t *testing.T, c *course, text string, o outcome) {
			t.Helper()
			judgeTimestamp(t, c, text, o, digits)
		})
	}
	return fam
}

func judgeTimestamp(t *testing.T, c *course, text string, o outcome, digits int) {
	t.Helper()
	m, ok := bothMoment(text)
	if !ok || m.clock%time.Duration(math.Pow10(9-digits)) != 0 {
		return
	}
	seconds, nanos := m.day.Unix()+int64(m.clock/time.Second), int64(m.clock%time.Second)
	millis := c.settings.Time == "connect" || c.settings.Time == "" && digits <= 3 || c.settings.Time == "adaptive_time_microseconds" && digits <= 3
	infinite := func(positive, negative int64) int64 {
		if m.infinity > 0 {
			return positive
		}
		return negative
	}
	switch {
	case c.settings.Time == "isostring" && m.infinity != 0:
		o.is(t, c, text, map[int]string{1: "+292278994-08-16T23:00:00Z", -1: "-292275055-05-16T23:00:00Z"}[m.infinity], text)
	case c.settings.Time == "isostring":
		clock := moment{clock: m.clock}.text("time")
		o.is(t, c, text, isoYear(m.day)+m.day.Format("-01-02T")+clock+"Z", text)
	case c.settings.Time == "structured":
		o.parts(t, c, text, m, &digits, text)
	case millis && m.infinity != 0:
		o.is(t, c, text, infinite(9223372036825200000, -9223372036832400000), text)
	case m.infinity != 0:
		o.is(t, c, text, infinite(math.MaxInt64, math.MinInt64), text)
	case millis:
		m.clock = m.clock.Truncate(time.Millisecond)
		o.is(t, c, text, seconds*1000+nanos/1_000_000, m.text("timestamp"))
	case c.settings.Time == "nanoseconds":
		judgeCount(t, c, text, o, seconds, nanos, 1_000_000_000)
	default:
		judgeCount(t, c, text, o, seconds, nanos/1000, 1_000_000)
	}
}

// judgeCount is a count of units since 1970, or a refusal where 64 bits end. The
// very last count on either side stands for an infinity.
func judgeCount(t *testing.T, c *course, text string, o outcome, seconds, fraction, perSecond int64) {
	t.Helper()
	if limit := math.MaxInt64/perSecond - 1; seconds > limit || seconds < -limit {
		// Close to the end either is right, as long as the value is.
		if o.err != nil {
			return
		}
		if seconds > limit+2 || seconds < -limit-3 {
			o.refused(t, c, text)
		}
	}
	if v := seconds*perSecond + fraction; v == math.MaxInt64 || v == math.MinInt64 {
		o.refused(t, c, text)
		return
	}
	o.is(t, c, text, seconds*perSecond+fraction, text)
}

func drawDay(r *rand.Rand, lastYear int) time.Time {
	first := int64(-210866803200) / 86400
	last := time.Date(lastYear, 12, 31, 0, 0, 0, 0, time.UTC).Unix() / 86400
	days := r.Int64N(30000)
	switch r.IntN(3) {
	case 0:
		days = first + r.Int64N(last-first+1)
	case 1:
		days = first + r.Int64N(4_000_000) // to the year 6240
	}
	return time.Unix(days*86400, 0).UTC()
}

// drawClock is a time of day of so many fraction digits; 24:00:00 at times.
func drawClock(r *rand.Rand, digits int) time.Duration {
	if r.IntN(16) == 0 {
		return 24 * time.Hour
	}
	unit := time.Duration(math.Pow10(9 - digits))
	return time.Duration(r.Int64N(int64(24 * time.Hour))).Truncate(unit)
}
