package schema

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tailrace/tailrace/cdc"
)

// drawString makes a text with what quoting has to mind.
func drawString(r *rand.Rand) string {
	const marks, words = "\"\\{},;:=>'()[]# \t\n\r\v\f\b\x01\x1f\x7f", "abcNULLnull0129-_."
	wide := []rune("éß日\u00a0\u2028\u202e😀\U0010ffff\ufeff")
	var b strings.Builder
	for range r.IntN(12) {
		switch r.IntN(4) {
		case 0:
			b.WriteByte(marks[r.IntN(len(marks))])
		case 1:
			b.WriteRune(wide[r.IntN(len(wide))])
		default:
			b.WriteByte(words[r.IntN(len(words))])
		}
	}
	return b.String()
}

// FuzzRoundTripText: types that travel as their text, whatever it is. The oracle
// is equality.
func FuzzRoundTripText(f *testing.F) {
	textFamily(f).fuzz(f,
		"", "a", " ", "NULL", `{"a": "b\u0000"}`, `{"b": 1, "a": 1.50, "a": 2}`, "<a>&amp;</a>", "0b5d9f5e-6b0e-4b0e-8f0e-0b5d9f5e6b0e", "::ffff:1.2.3.4/128", "10.0.0.1/8", "08:00:2b:01:02:03", "'a':1A 'b c':2,3B", "ab   ", "\x01", "\\x00", "\\\\", "\x7f\u2028",
		"[1,5)", "empty", "[1.50,)", `["2026-03-01 10:00:00",infinity)`, `(,"4714-11-24 BC")`, "{[1,2),[5,6)}", "{}", `(1,"a ""b""",)`, "'fat' & !'rat'", "16/B374D848", strings.Repeat("x", 10_000), strings.Repeat("é", 9_000), "\xff\xfe", "a\xc3",
	)
}

func textFamily(t testing.TB) family {
	t.Helper()
	var fam family
	same := func(t *testing.T, c *course, text string, o outcome) {
		t.Helper()
		if utf8.ValidString(text) { // the server sends nothing else
			o.is(t, c, text, text, text)
		}
	}
	for _, name := range []string{
		"text", "varchar", "bpchar", "char", "name", "json", "jsonb", "xml", "uuid", "inet", "cidr", "macaddr", "macaddr8", "tsvector",
		"int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange",
	} {
		fam.add(t, compat(Settings{}), base(name), -1, drawString, same)
	}
	for _, name := range []string{"citext", "isbn", "ltree"} {
		fam.add(t, compat(Settings{}), extensionType(name), -1, drawString, same)
	}
	// Types outside the table, as text; as bytes they are the text's bytes.
	for _, typ := range []*cdc.Type{base("tsquery"), base("pg_lsn"), base("xid8"), base("jsonpath"), base("int4multirange"), extensionType("cube"),
		{Schema: "public", Name: "pair", Kind: cdc.KindComposite},
	} {
		fam.add(t, []Settings{{}}, typ, -1, drawString, same)
		fam.add(t, compat(Settings{Unknown: "bytes"}, Settings{Unknown: "bytes", Binary: "hex"}, Settings{Unknown: "bytes", Binary: "base64"}), typ, -1, drawString, judgeOpaque)
	}
	for _, c := range fam {
		if c.settings.Unknown != "" {
			c.back = false // bytes come back as bytea
		}
	}
	return fam
}

func extensionType(name string) *cdc.Type {
	return &cdc.Type{Schema: "public", Name: name, Kind: cdc.KindBase}
}

// judgeOpaque is the text's bytes, in the form of the binary mode.
func judgeOpaque(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	switch want := inBinary(c.settings.Binary, []byte(text)).(type) {
	case string:
		o.is(t, c, text, want, want)
	default:
		o.is(t, c, text, want, `\x`+hex.EncodeToString([]byte(text)))
	}
}

// inBinary is what bytes become in a binary mode.
func inBinary(mode string, b []byte) any {
	switch mode {
	case "hex":
		return hex.EncodeToString(b)
	case "base64":
		return base64.StdEncoding.EncodeToString(b)
	case "base64-url-safe":
		return base64.URLEncoding.EncodeToString(b)
	}
	return b
}

var binaryModes = compat(Settings{}, Settings{Binary: "hex"}, Settings{Binary: "base64"}, Settings{Binary: "base64-url-safe"})

// FuzzRoundTripBytea: both of the server's forms, hex and escape. The oracle is
// encoding/hex, and for escape a decoder of its own. Nothing is lost.
func FuzzRoundTripBytea(f *testing.F) {
	byteaFamily(f).fuzz(f,
		`\x`, `\x00`, `\x010203`, `\xfbfffe`, `\xDEADBEEF`, `\xdeadbee`, `\xgg`, ``, `abc`, `a\\b`, `\000`, `\377`, `\400`, `\08`, `\1`, `\`, `\\`, `a\001\002\\x`, `\x 00`, `\\x00`, "\x80", `'`, `\X00`,
	)
}

func byteaFamily(t testing.TB) family {
	t.Helper()
	var fam family
	fam.add(t, binaryModes, base("bytea"), -1, func(r *rand.Rand) string {
		b := make([]byte, r.IntN(20))
		for i := range b {
			b[i] = byte(r.Uint32())
			if r.IntN(3) == 0 {
				b[i] = "\\'\x00\x7f\x80\xffx0"[r.IntN(8)]
			}
		}
		if r.IntN(2) == 0 {
			return `\x` + hex.EncodeToString(b)
		}
		return escaped(b)
	}, func(t *testing.T, c *course, text string, o outcome) {
		t.Helper()
		b, ok := byteaOf(text)
		if !ok {
			return
		}
		back := `\x` + hex.EncodeToString(b)
		if s, ok := inBinary(c.settings.Binary, b).(string); ok {
			back = s
		}
		o.is(t, c, text, inBinary(c.settings.Binary, b), back)
	})
	for _, c := range fam {
		c.back = c.settings.Binary == ""
	}
	return fam
}

// escaped is bytea_output = escape: octal for what is not printable ASCII.
func escaped(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		switch {
		case c == '\\':
			s.WriteString(`\\`)
		case c < 0x20 || c > 0x7e:
			s.WriteString(`\` + string([]byte{'0' + c>>6, '0' + c>>3&7, '0' + c&7}))
		default:
			s.WriteByte(c)
		}
	}
	return s.String()
}

// byteaOf reads only what a server prints.
func byteaOf(text string) ([]byte, bool) {
	if digits, ok := strings.CutPrefix(text, `\x`); ok {
		b, err := hex.DecodeString(digits)
		return b, err == nil && digits == strings.ToLower(digits)
	}
	var b []byte
	for rest := text; rest != ""; {
		switch {
		case strings.HasPrefix(rest, `\\`):
			b, rest = append(b, '\\'), rest[2:]
		case rest[0] == '\\':
			if len(rest) < 4 {
				return nil, false
			}
			v, ok := new(big.Int).SetString(rest[1:4], 8)
			if !ok || v.Int64() > 255 {
				return nil, false
			}
			b, rest = append(b, byte(v.Int64())), rest[4:]
		default:
			b, rest = append(b, rest[0]), rest[1:]
		}
	}
	if b == nil {
		b = []byte{}
	}
	return b, escaped(b) == text
}

// FuzzRoundTripEnum: a label that the catalog lists travels as it is; any other
// asks for the catalog to be read again.
func FuzzRoundTripEnum(f *testing.F) {
	enumFamily(f).fuzz(f, "sad", "ok", "very happy", "a,b", `o'k`, "", "é", "sa", "SAD", "sad ", "a", "happy")
}

func enumFamily(t testing.TB) family {
	t.Helper()
	var fam family
	labels := []string{"sad", "ok", "very happy", "a,b", `o'k`, "", "é"}
	pick := func(r *rand.Rand) string { return labels[r.IntN(len(labels))] }
	fam.add(t, compat(Settings{}), enum("mood", labels...), -1, pick, func(t *testing.T, c *course, text string, o outcome) {
		t.Helper()
		for _, l := range labels {
			if text == l {
				o.is(t, c, text, text, text)
				return
			}
		}
		if _, ok := o.err.(*cdc.FactError); !ok {
			t.Fatalf("%s: %q: got %v, %v", c.name, text, o.native, o.err)
		}
	})
	return fam
}

// FuzzRoundTripBits: the oracle is math/big: a bit string is a number, its bytes
// the other way round without zeros at the end. Leading zeros beyond the column's
// length are lost, and those of bit varying; bit(1) is a boolean.
func FuzzRoundTripBits(f *testing.F) {
	bitsFamily(f).fuzz(f, "", "0", "1", "2", "00", "01", "11", "10000000", "100000000", "000000001", strings.Repeat("0", 64), strings.Repeat("1", 64), "1"+strings.Repeat("0", 63), "B'101'", "X1F", " 1", "1 ")
}

func bitsFamily(t testing.TB) family {
	t.Helper()
	var fam family
	for _, b := range []struct {
		name string
		n    int
	}{{"bit", 1}, {"bit", 2}, {"bit", 7}, {"bit", 8}, {"bit", 9}, {"bit", 64}, {"bit", 131}, {"varbit", 1}, {"varbit", 8}, {"varbit", 70}, {"varbit", -1}} {
		fam.add(t, compat(Settings{}), base(b.name), int32(b.n), func(r *rand.Rand) string {
			n := b.n
			if n < 0 {
				n = r.IntN(300)
			}
			if b.name == "varbit" && b.n > 1 {
				n = r.IntN(b.n + 1)
			}
			bits := make([]byte, n)
			for i := range bits {
				bits[i] = "01"[r.IntN(2)&r.IntN(3)]
			}
			return string(bits)
		}, func(t *testing.T, c *course, text string, o outcome) {
			t.Helper()
			judgeBits(t, c, text, o, b.name, b.n)
		})
	}
	for _, c := range fam {
		c.back = c.modifier != 1
	}
	return fam
}

func judgeBits(t *testing.T, c *course, text string, o outcome, name string, n int) {
	t.Helper()
	if strings.Trim(text, "01") != "" || n > 0 && len(text) > n || name == "bit" && len(text) != n {
		return
	}
	if n == 1 {
		switch {
		case text == "" && c.settings.Compat: // neither true nor false
			o.isNull(t, c, text)
			return
		case text == "":
			o.refused(t, c, text)
			return
		}
		o.is(t, c, text, text == "1", map[string]string{"1": "t", "0": "f"}[text])
		return
	}
	v, _ := new(big.Int).SetString("0"+text, 2)
	want := v.Bytes()
	for i, j := 0, len(want)-1; i < j; i, j = i+1, j-1 {
		want[i], want[j] = want[j], want[i]
	}
	back := v.Text(2)
	if v.Sign() == 0 {
		back = ""
	}
	if n > 0 {
		back = strings.Repeat("0", n-len(back)) + back
	}
	o.is(t, c, text, want, back)
}

// FuzzRoundTripHstore: the oracle makes the pairs and prints them as the server
// does; what arrives is compared as encoding/json reads it, in the server's order.
// NULL stays apart from the text null. A map has no order.
func FuzzRoundTripHstore(f *testing.F) {
	hstoreFamily(f).fuzz(f,
		"", `"k"=>"v"`, `"k"=>NULL`, `"k"=>"NULL"`, `"key #1"=>"val 1", "key 2"=>" ##123 78"`, `"q"=>"say \"hi\""`, `"a\\b"=>"\\"`, `""=>""`, `"a"=>"1","b"=>"2"`, `"a"=>"1", `, `"a"=>1`, `a=>b`, `"a"=>"`, `"a"=>NULLx`, `"\"=>"`, `"é"=>"😀"`, "\"\n\"=>\"\x01\"", `"a"=>"1", "a"=>"2"`, `"a"=>null`,
	)
}

func hstoreFamily(t testing.TB) family {
	t.Helper()
	var fam family
	fam.add(t, compat(Settings{}, Settings{Hstore: "map"}), extensionType("hstore"), -1, func(r *rand.Rand) string {
		var pairs []pair
		taken := map[string]bool{}
		for range r.IntN(6) {
			p := pair{key: drawString(r)}
			if r.IntN(4) > 0 {
				v := drawString(r)
				p.value = &v
			}
			if !taken[p.key] {
				pairs = append(pairs, p)
			}
			taken[p.key] = true
		}
		return hstoreText(pairs)
	}, judgeHstore)
	for _, c := range fam {
		c.back = false // a JSON object comes back
	}
	return fam
}

type pair struct {
	key   string
	value *string
}

func hstoreText(pairs []pair) string {
	quote := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	var words []string
	for _, p := range pairs {
		value := "NULL"
		if p.value != nil {
			value = quote(*p.value)
		}
		words = append(words, quote(p.key)+"=>"+value)
	}
	return strings.Join(words, ", ")
}

// hstoreOf reads only what a server prints.
func hstoreOf(text string) ([]pair, bool) {
	unquote := func(s string) (value, rest string, ok bool) {
		if s == "" || s[0] != '"' {
			return "", "", false
		}
		var b strings.Builder
		for i := 1; i < len(s); i++ {
			switch {
			case s[i] == '"':
				return b.String(), s[i+1:], true
			case s[i] == '\\' && i+1 < len(s):
				i++
			}
			b.WriteByte(s[i])
		}
		return "", "", false
	}
	var pairs []pair
	taken := map[string]bool{}
	for rest := text; rest != ""; {
		key, after, ok := unquote(rest)
		after, arrow := strings.CutPrefix(after, "=>")
		if !ok || !arrow || taken[key] {
			return nil, false
		}
		taken[key] = true
		p := pair{key: key}
		if left, null := strings.CutPrefix(after, "NULL"); null {
			rest = left
		} else {
			value, left, ok := unquote(after)
			if !ok {
				return nil, false
			}
			p.value, rest = &value, left
		}
		pairs = append(pairs, p)
		rest = strings.TrimPrefix(rest, ", ")
	}
	return pairs, utf8.ValidString(text) && hstoreText(pairs) == text
}

func judgeHstore(t *testing.T, c *course, text string, o outcome) {
	t.Helper()
	pairs, ok := hstoreOf(text)
	if !ok {
		return
	}
	if o.err != nil {
		t.Fatalf("%s: %q was refused: %v", c.name, text, o.err)
	}
	if c.settings.Hstore == "map" {
		// outcome.native took a map of one pair for a union.
		checkPairs(t, c, text, pairs, o.text)
		return
	}
	s, _ := o.native.(string)
	if s != o.text {
		t.Fatalf("%s: %q is %q to goavro and %q to us", c.name, text, s, o.text)
	}
	checkPairs(t, c, text, pairs, s)
	d := json.NewDecoder(strings.NewReader(s))
	_, _ = d.Token()
	for _, p := range pairs { // the order
		key, err := d.Token()
		if err != nil || key != p.key {
			t.Fatalf("%s: %q: key %v, want %q in %s", c.name, text, key, p.key, s)
		}
		_, _ = d.Token()
	}
}

func checkPairs(t *testing.T, c *course, text string, pairs []pair, object string) {
	t.Helper()
	var got map[string]*string
	if err := json.Unmarshal([]byte(object), &got); err != nil || len(got) != len(pairs) {
		t.Fatalf("%s: %q is %s: %v", c.name, text, object, err)
	}
	for _, p := range pairs {
		v, ok := got[p.key]
		if !ok || (v == nil) != (p.value == nil) || v != nil && *v != *p.value {
			t.Fatalf("%s: %q: %q is wrong in %s", c.name, text, p.key, object)
		}
	}
}
