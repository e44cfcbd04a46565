package workload

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// random makes SQL literals. It is not safe for concurrent use.
type random struct{ *rand.Rand }

func newRandom(seed int64, worker int) *random {
	return &random{rand.New(rand.NewPCG(uint64(seed), uint64(worker)))}
}

// chance is true with probability p.
func (r *random) chance(p float64) bool { return r.Float64() < p }

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// pieces are texts that encoders, quoting and JSON get wrong.
var pieces = []string{"", " ", "a", "tea", "O'Neil", `back\slash`, `"quoted"`, "tab\there", "line\nbreak", "NULL", "null",
	"größe", "日本語", "😀", "{a,b}", "\r\n", "\u00a0", "\ufeff", "<&>", "%s", "$1", "__debezium_unavailable_value_", "\\N", "\x01"}

func (r *random) words() string {
	var b strings.Builder
	for range r.IntN(5) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

func (r *random) text() string { return quote(r.words()) }

// large is a text that is stored outside its row: longer than a quarter of a
// page, and random enough not to be compressed below it.
func (r *random) large() string {
	b := make([]byte, 1500+r.IntN(3000))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return quote(hex.EncodeToString(b))
}

func (r *random) bytes(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return `'\x` + hex.EncodeToString(b) + "'"
}

func (r *random) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + r.IntN(10))
	}
	return string(b)
}

func (r *random) boolean() string { return strconv.FormatBool(r.IntN(2) == 0) }
func (r *random) integer() string { return strconv.Itoa(int(int32(r.Uint32()))) }
func (r *random) bigint() string  { return quote(strconv.FormatInt(int64(r.Uint64()), 10)) }

func (r *random) float8() string {
	switch r.IntN(20) {
	case 0:
		return quote([]string{"NaN", "Infinity", "-Infinity", "-0"}[r.IntN(4)])
	case 1:
		return quote(strconv.FormatFloat(math.Ldexp(r.Float64(), r.IntN(1800)-900), 'g', -1, 64))
	}
	return quote(strconv.FormatFloat(r.NormFloat64()*1000, 'g', -1, 64))
}

func (r *random) float4() string {
	if r.IntN(20) == 0 {
		return quote([]string{"NaN", "Infinity", "-Infinity", "-0"}[r.IntN(4)])
	}
	return quote(strconv.FormatFloat(float64(float32(r.NormFloat64()*1000)), 'g', -1, 32))
}

// decimal makes numbers of at most whole digits before and scale after the point.
func decimal(whole, scale int) func(*random) string {
	return func(r *random) string {
		s := r.digits(1+r.IntN(whole)) + "." + r.digits(scale)
		if r.IntN(3) == 0 {
			s = "-" + s
		}
		return s
	}
}

// numeric is of any precision and scale, but without zeros at the end of the
// fraction: Debezium's records do not carry them for a numeric without a scale.
func (r *random) numeric() string {
	switch r.IntN(4) {
	case 0:
		return r.digits(1+r.IntN(40)) + "." + r.digits(r.IntN(30)) + strconv.Itoa(1+r.IntN(9))
	case 1:
		return "-0." + r.digits(r.IntN(20)) + strconv.Itoa(1+r.IntN(9))
	case 2:
		return quote(fmt.Sprintf("1%de%d", 1+r.IntN(9), r.IntN(40)-20))
	}
	return r.integer()
}

func (r *random) moment() time.Time {
	const first, last = -62135596800, 253402300799 // years 1 to 9999
	sec := int64(1.6e9) + r.Int64N(2e8)
	if r.IntN(10) == 0 {
		sec = first + r.Int64N(last-first)
	}
	nsec := r.Int64N(1e6) * 1000
	if r.IntN(4) == 0 {
		nsec = 0
	}
	return time.Unix(sec, nsec).UTC()
}

func (r *random) date() string      { return quote(r.moment().Format("2006-01-02")) }
func (r *random) timestamp() string { return quote(r.moment().Format("2006-01-02 15:04:05.999999")) }

func (r *random) time() string {
	if r.IntN(50) == 0 {
		return "'24:00:00'"
	}
	return quote(r.moment().Format("15:04:05.999999"))
}

func (r *random) timestamptz() string {
	zone := []string{"+00", "+05:30", "-11", "+14"}[r.IntN(4)]
	t := r.moment()
	if t.Year() < 2 || t.Year() > 9998 {
		zone = "+00"
	}
	return quote(t.Format("2006-01-02 15:04:05.999999") + zone)
}

func (r *random) uuid() string {
	return quote(fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", r.Uint32(), r.Uint32()&0xffff, r.Uint32()&0xffff, r.Uint32()&0xffff, r.Uint64()&0xffffffffffff))
}

func oneOf(values ...string) func(*random) string {
	return func(r *random) string { return quote(values[r.IntN(len(values))]) }
}

// array makes one-dimensional arrays, some empty, some with NULL in them.
func array(elem string, value func(*random) string) func(*random) string {
	return func(r *random) string {
		items := make([]string, r.IntN(4))
		for i := range items {
			items[i] = value(r)
			if r.IntN(8) == 0 {
				items[i] = "NULL"
			}
		}
		return "ARRAY[" + strings.Join(items, ",") + "]::" + elem + "[]"
	}
}
