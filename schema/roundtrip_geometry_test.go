package schema

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// FuzzRoundTripGeometry: the oracle takes the numbers out of the text with a
// regular expression and builds the well-known binary (OGC 06-103r4, section 8)
// with encoding/binary. Nothing is lost but a polygon's last point where that is
// the first again.
func FuzzRoundTripGeometry(f *testing.F) {
	geometryFamily(f).fuzz(f,
		"(1,1)", "(0.5,-2)", "(Infinity,-Infinity)", "(NaN,NaN)", "(1e+300,3)", "(-0,0)", "(1,2),(0,0)", "[(0,0),(0,1)]", "((0,0),(0,1),(0,2))", "[(0,0),(0,1),(0,2)]", "((0,0),(0,1),(1,1),(0,0))", "((1,1))", "<(10,4),10>", "<(0.5,-1),-2.5>", "{-1,0,0}", "{1,-1,NaN}",
		"(1,2", "1,2", "(1;2)", "()", "[]", "<>", "{}", "((1,2)", "((1,2),)", "<(1,2)>", "{1,2}", "{1,2,3,4}", "( 1,2)", "(1, 2)", "(0x10,1)", "(1,2)x",
		"0101000020730C00001C7C613255DE6540787AA52C435C42C0", "0020000001000010E63FF00000000000004000000000000000", "0101000000000000000000F03F0000000000000040", "01", "0101", "00", "02", "0105000020E610000000000000", "0101000020730c0000", "XYZ", "010",
	)
}

func geometryFamily(t testing.TB) family {
	t.Helper()
	var fam family
	for _, g := range figures() {
		fam.add(t, compat(Settings{}), base(g.name), -1, g.draw, func(t *testing.T, c *course, text string, o outcome) {
			t.Helper()
			judgeGeometry(t, c, g.name, text, o)
		})
	}
	for _, name := range []string{"geometry", "geography"} {
		fam.add(t, compat(Settings{}), extensionType(name), -1, drawEWKB, judgeEWKB)
	}
	return fam
}

// figures are PostgreSQL's geometric types, with a generator each.
func figures() []struct {
	name string
	draw func(*rand.Rand) string
} {
	number := drawFloat(64)
	points := func(r *rand.Rand, n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = drawPoint(r)
		}
		return strings.Join(list, ",")
	}
	return []struct {
		name string
		draw func(*rand.Rand) string
	}{
		{"point", drawPoint},
		{"lseg", func(r *rand.Rand) string { return "[" + points(r, 2) + "]" }},
		{"box", func(r *rand.Rand) string { return points(r, 2) }},
		{"polygon", func(r *rand.Rand) string { return "(" + points(r, 1+r.IntN(5)) + ")" }},
		{"path", func(r *rand.Rand) string {
			ends := []string{"()", "[]"}[r.IntN(2)]
			return ends[:1] + points(r, 1+r.IntN(5)) + ends[1:]
		}},
		{"circle", func(r *rand.Rand) string { return "<" + drawPoint(r) + "," + number(r) + ">" }},
		{"line", func(r *rand.Rand) string { return "{" + number(r) + "," + number(r) + "," + number(r) + "}" }},
	}
}

var (
	floatText  = `(?:-?[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?|-?Infinity|NaN)`
	pointText  = `\(` + floatText + `,` + floatText + `\)`
	pointsText = pointText + `(?:,` + pointText + `)*`
	floatsOnly = regexp.MustCompile(floatText)
	shapes     = map[string]*regexp.Regexp{
		"point":   regexp.MustCompile(`^` + pointText + `$`),
		"lseg":    regexp.MustCompile(`^\[` + pointText + `,` + pointText + `\]$`),
		"box":     regexp.MustCompile(`^` + pointText + `,` + pointText + `$`),
		"polygon": regexp.MustCompile(`^\(` + pointsText + `\)$`),
		"path":    regexp.MustCompile(`^(?:\(` + pointsText + `\)|\[` + pointsText + `\])$`),
		"circle":  regexp.MustCompile(`^<` + pointText + `,` + floatText + `>$`),
		"line":    regexp.MustCompile(`^\{` + floatText + `,` + floatText + `,` + floatText + `\}$`),
	}
)

func judgeGeometry(t *testing.T, c *course, name, text string, o outcome) {
	t.Helper()
	if !shapes[name].MatchString(text) {
		return
	}
	var v []float64
	for _, s := range floatsOnly.FindAllString(text, -1) {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || pgFloatText(n, 64) != s {
			return // not the server's form
		}
		v = append(v, n)
	}
	got, ok := o.native.(map[string]any)
	if o.err != nil || !ok {
		t.Fatalf("%s: %q: got %v, %v", c.name, text, o.native, o.err)
	}
	var want map[string]any
	extensions := map[string]any{"type": name}
	closed := false // already
	switch name {
	case "point":
		want = pointParts(v[0], v[1])
	case "circle":
		want = map[string]any{"center": pointParts(v[0], v[1]), "radius": v[2]}
	case "line":
		want = map[string]any{"a": v[0], "b": v[1], "c": v[2]}
	case "box":
		// Two opposite corners, walked around from the greater one.
		ring := []float64{v[0], v[1], v[0], v[3], v[2], v[3], v[2], v[1], v[0], v[1]}
		want = shapeParts(wkb(3, ring), extensions)
	case "polygon":
		if n := len(v); v[0] != v[n-2] || v[1] != v[n-1] { // a ring ends where it began
			v = append(v, v[0], v[1])
		} else {
			closed = true
		}
		want = shapeParts(wkb(3, v), extensions)
	case "path":
		extensions["closed"] = strconv.FormatBool(text[0] == '(')
		want = shapeParts(wkb(2, v), extensions)
	default:
		want = shapeParts(wkb(2, v), extensions)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) { // NaN is not equal to itself
		t.Fatalf("%s: %q is\n%v, want\n%v", c.name, text, got, want)
	}
	back := text
	if n := len(v); name == "polygon" && n > 2 && closed {
		back = text[:strings.LastIndex(text, ",(")] + ")"
	}
	if o.text != back {
		t.Fatalf("%s: %q came back as %q, want %q", c.name, text, o.text, back)
	}
}

// wkb is a line string (2), or a polygon of one ring (3).
func wkb(kind uint32, coordinates []float64) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{1}, kind)
	if kind == 3 {
		b = binary.LittleEndian.AppendUint32(b, 1)
	}
	if kind != 1 {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(coordinates)/2))
	}
	for _, v := range coordinates {
		bits := math.Float64bits(v)
		if v != v {
			bits = 0x7ff8000000000000
		}
		b = binary.LittleEndian.AppendUint64(b, bits)
	}
	return b
}

func pointParts(x, y float64) map[string]any {
	return map[string]any{"x": x, "y": y, "wkb": map[string]any{"bytes": wkb(1, []float64{x, y})}, "srid": nil}
}

func shapeParts(wkb []byte, extensions map[string]any) map[string]any {
	return map[string]any{"wkb": wkb, "srid": nil, "extensions": map[string]any{"map": extensions}}
}

// drawEWKB is a PostGIS point as the server prints it: EWKB in capitals.
func drawEWKB(r *rand.Rand) string {
	order := binary.AppendByteOrder(binary.LittleEndian)
	b := []byte{1}
	if r.IntN(2) == 0 {
		order, b = binary.BigEndian, []byte{0}
	}
	kind, srid := uint32(1), r.IntN(2) == 0
	if srid {
		kind |= 0x20000000
	}
	b = order.AppendUint32(b, kind)
	if srid {
		b = order.AppendUint32(b, uint32(r.IntN(1_000_000)))
	}
	for range 2 {
		b = order.AppendUint64(b, math.Float64bits(float64(r.IntN(1000))/8))
	}
	return strings.ToUpper(hex.EncodeToString(b))
}

// judgeEWKB: the bytes are the server's; the reference system is copied out of
// them.
func judgeEWKB(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || text != strings.ToUpper(text) || len(b) < 9 || b[0] > 1 {
		return
	}
	order := binary.ByteOrder(binary.BigEndian)
	if b[0] == 1 {
		order = binary.LittleEndian
	}
	var srid any
	if order.Uint32(b[1:])&0x20000000 != 0 {
		srid = map[string]any{"int": int32(order.Uint32(b[5:]))}
	}
	got, ok := o.native.(map[string]any)
	if o.err != nil || !ok {
		t.Fatalf("%s: %q: got %v, %v", c.name, text, o.native, o.err)
	}
	if fmt.Sprint(got["wkb"]) != fmt.Sprint(b) || fmt.Sprint(got["srid"]) != fmt.Sprint(srid) || got["extensions"] != nil {
		t.Fatalf("%s: %q is %v, want srid %v", c.name, text, got, srid)
	}
	if o.text != text {
		t.Fatalf("%s: %q came back as %q", c.name, text, o.text)
	}
}
