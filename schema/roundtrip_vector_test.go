package schema

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// FuzzRoundTripVector: the types of pgvector, and the server's own vectors of
// integers. The oracle is strings.Split and strconv. Nothing is lost; a sparse
// vector of more than 32,767 dimensions has no place in its record.
func FuzzRoundTripVector(f *testing.F) {
	vectorFamily(f).fuzz(f,
		"[1,2.5,3]", "[-0.1]", "[-0.099975586]", "[1e-07,3.4028235e+38]", "[]", "[1,]", "[,1]", "[1 ,2]", "1,2", "[1,2", "[NaN]", "{1:1.5,3:-2}/5", "{}/5", "{}/32767", "{}/32768", "{32767:1}/32767", "{1:1}/1000000000", "{1:1,}/5", "{1:}/5", "{:1}/5", "{1:1}", "{1:1}/", "{0:1}/5",
		"1 2 3", "", "-32768 32767", "32768", "4294967295", "1  2", " 1", "1 ",
	)
}

func vectorFamily(t testing.TB) family {
	t.Helper()
	var fam family
	for _, name := range []string{"vector", "halfvec"} {
		fam.add(t, compat(Settings{}), extensionType(name), -1, drawVector, judgeVector)
	}
	fam.add(t, compat(Settings{}), extensionType("sparsevec"), -1, drawSparse, judgeSparse)
	fam.add(t, []Settings{{}}, base("int2vector"), -1, func(r *rand.Rand) string {
		return joined(r, " ", func(int) string { return drawSmall(r) })
	}, judgeIntegers)
	fam.add(t, []Settings{{}}, base("oidvector"), -1, func(r *rand.Rand) string {
		return joined(r, " ", func(int) string { return fmt.Sprint(r.Uint32()) })
	}, judgeIntegers)
	for _, c := range fam {
		c.back = !strings.HasPrefix(c.typ.Schema, "pg_") // the server's are arrays on the way back
	}
	return fam
}

func joined(r *rand.Rand, sep string, draw func(int) string) string {
	words := make([]string, 1+r.IntN(6))
	for i := range words {
		words[i] = draw(i)
	}
	return strings.Join(words, sep)
}

func drawFinite(r *rand.Rand) string {
	for {
		if s := drawFloat(32)(r); !strings.ContainsAny(s, "NI") {
			return s
		}
	}
}

func drawVector(r *rand.Rand) string {
	return "[" + joined(r, ",", func(int) string { return drawFinite(r) }) + "]"
}

func drawSparse(r *rand.Rand) string {
	dimensions, index := 10+r.IntN(40000), 0
	return "{" + joined(r, ",", func(int) string {
		index += 1 + r.IntN(2)
		return fmt.Sprintf("%d:%s", index, drawFinite(r))
	}) + "}/" + strconv.Itoa(dimensions)
}

var (
	plainFloat    = `-?[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?`
	serverVector  = regexp.MustCompile(`^\[` + plainFloat + `(?:,` + plainFloat + `)*\]$`)
	serverSparse  = regexp.MustCompile(`^\{(?:[1-9][0-9]*:` + plainFloat + `(?:,[1-9][0-9]*:` + plainFloat + `)*)?\}/([1-9][0-9]*)$`)
	serverInteger = regexp.MustCompile(`^(?:0|-?[1-9][0-9]{0,9})$`)
)

func judgeVector(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	if !serverVector.MatchString(text) {
		return
	}
	want := []any{}
	for word := range strings.SplitSeq(text[1:len(text)-1], ",") {
		v, err := strconv.ParseFloat(word, 32)
		if err != nil || pgFloatText(v, 32) != word {
			return
		}
		if c.typ.Name == "halfvec" {
			want = append(want, float32(v))
			continue
		}
		if v, err = strconv.ParseFloat(word, 64); err != nil { // Debezium reads the digits as a double
			return
		}
		want = append(want, v)
	}
	o.is(t, c, text, want, o.text)
	for i, word := range strings.Split(o.text[1:len(o.text)-1], ",") {
		bits := 64
		if c.typ.Name == "halfvec" {
			bits = 32
		}
		v, err := strconv.ParseFloat(word, bits)
		if got := any(v); err != nil || bits == 64 && got != want[i] || bits == 32 && any(float32(v)) != want[i] {
			t.Fatalf("%s: %q came back as %q", c.name, text, o.text)
		}
	}
}

func judgeSparse(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	m := serverSparse.FindStringSubmatch(text)
	if m == nil {
		return
	}
	dimensions, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || dimensions > 1_000_000_000 {
		return
	}
	if dimensions > 32767 {
		o.refused(t, c, text)
		return
	}
	list, _, _ := strings.Cut(text[1:], "}")
	elements := []any{}
	for _, element := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		index, number, _ := strings.Cut(element, ":")
		i, err1 := strconv.ParseInt(index, 10, 64)
		v, err2 := strconv.ParseFloat(number, 64)
		if err1 != nil || err2 != nil || i > dimensions || pgFloatText(v, 64) != number {
			return
		}
		elements = append(elements, map[string]any{"key": int32(i), "value": v})
	}
	o.is(t, c, text, map[string]any{"dimensions": int32(dimensions), "vector": elements}, text)
}

func judgeIntegers(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	want := []any{}
	for _, word := range strings.Fields(text) {
		v, err := strconv.ParseInt(word, 10, 64)
		if err != nil || !serverInteger.MatchString(word) {
			return
		}
		switch {
		case c.typ.Name == "int2vector" && v == int64(int16(v)):
			want = append(want, int32(v))
		case c.typ.Name == "oidvector" && v == int64(uint32(v)):
			want = append(want, v)
		default:
			return
		}
	}
	if strings.Join(strings.Fields(text), " ") == text {
		o.is(t, c, text, want, "{"+strings.ReplaceAll(text, " ", ",")+"}")
	}
}
