package cdc

import (
	"fmt"
	"strings"
	"testing"
)

// column is a column of a built-in type.
func maskColumn(typ string, modifier int32) *Column {
	return &Column{Name: "c", Type: &Type{Name: typ, Kind: KindBase}, Modifier: modifier}
}

func apply(m *Mask, v Value) string {
	text, state := m.Append([]byte("before:"), v, nil)
	if state != Text {
		return fmt.Sprintf("state %d%s", state, text[len("before:"):])
	}
	return string(text[len("before:"):])
}

// TestMasksAreDebeziums holds what a Debezium 3.7.0 wrote for these values.
func TestMasksAreDebeziums(t *testing.T) {
	t.Parallel()
	text := maskColumn("text", -1)
	v1, err := DebeziumHash("SHA-256", "salty", 1, text)
	if err != nil {
		t.Fatal(err)
	}
	v2, err := DebeziumHash("MD5", "salty", 2, maskColumn("varchar", 14))
	if err != nil {
		t.Fatal(err)
	}
	null := Value{}
	value := func(s string) Value { return Value{State: Text, Data: []byte(s)} }
	for _, c := range []struct {
		name string
		mask *Mask
		in   Value
		want string
	}{
		{"asterisks", Asterisks(12), value("secret"), "************"},
		{"asterisks of NULL", Asterisks(12), null, "************"},
		{"asterisks of nothing", Asterisks(12), value(""), "************"},
		{"version 1", v1, value("secret"), "9dc4a70128f2587f16383b67256da2ef02f39eac0894c66f98c3babd1663b677"},
		{"version 1", v1, value("ab"), "d82185dca8aa6791f7c391512231fd8ae1d86a7b6d2ff3f53b96bb814fff3d47"},
		{"version 1 of nothing", v1, value(""), "b85af0803e3fccfc2c400e9d3cfb9658e8d93cddabe41c65c610aeccc0648d9e"},
		{"version 1 of NULL", v1, null, "state 0"},
		{"version 2, cut to varchar(10)", v2, value("secret"), "428eb95fd3"},
		{"version 2", v2, value("ab"), "20f4e7b022"},
		{"version 2 of nothing", v2, value(""), "daf3ae813a"},
		{"version 2 of NULL", v2, null, "state 0"},
		{"truncated", Truncate(3, text, true), value("secret"), "sec"},
		{"truncated", Truncate(3, text, true), value("ab"), "ab"},
		{"truncated NULL", Truncate(3, text, true), null, "state 0"},
	} {
		if got := apply(c.mask, c.in); got != c.want {
			t.Errorf("%s of %q: got %s, want %s", c.name, c.in.Data, got, c.want)
		}
	}
	for _, c := range []struct {
		mask *Mask
		want string
	}{
		{Asterisks(12), "[{masked true}]"}, {v1, "[{masked true}]"}, {v2, "[{masked true}]"},
		{Truncate(3, text, true), "[{truncateLength 3}]"},
	} {
		if got := fmt.Sprint(c.mask.Params); got != c.want {
			t.Errorf("parameters %s, want %s", got, c.want)
		}
	}
}

// TestJavaTexts holds the bytes that ObjectOutputStream.writeObject makes of a
// text, computed by Java 17.
func TestJavaTexts(t *testing.T) {
	t.Parallel()
	var got recorder
	write := javaObject()
	for _, c := range []struct{ text, want string }{
		{"a", "aced0005" + "74" + "0001" + "61"},
		{"é€", "aced0005" + "74" + "0005" + "c3a9e282ac"},
		{"😀", "aced0005" + "74" + "0006" + "eda0bdedb880"},
		{strings.Repeat("x", 65535), "aced0005" + "74" + "ffff" + strings.Repeat("78", 65535)},
		{strings.Repeat("x", 65536), "aced0005" + "7c" + "0000000000010000" + strings.Repeat("78", 65536)},
	} {
		got.bytes = got.bytes[:0]
		write(&got, []byte(c.text))
		if g := fmt.Sprintf("%x", got.bytes); g != c.want {
			t.Errorf("%.10s: got %.60s, want %.60s", c.text, g, c.want)
		}
	}
}

type recorder struct{ bytes []byte }

func (r *recorder) Write(b []byte) (int, error) { r.bytes = append(r.bytes, b...); return len(b), nil }
func (r *recorder) Sum(b []byte) []byte         { return b }
func (r *recorder) Reset()                      {}
func (r *recorder) Size() int                   { return 0 }
func (r *recorder) BlockSize() int              { return 0 }

func TestTruncateKeepsCharactersWhole(t *testing.T) {
	t.Parallel()
	text := maskColumn("text", -1)
	for _, c := range []struct {
		n     int
		utf16 bool
		in    string
		want  string
	}{
		{0, false, "abc", ""},
		{2, false, "äöü", "äö"},
		{2, false, "a😀b", "a😀"},
		{2, true, "a😀b", "a"}, // two units of Java's would cut the second character
		{3, true, "a😀b", "a😀"},
		{3, false, "abc", "abc"},
		{4, false, "äöü", "äöü"},
	} {
		if got := apply(Truncate(c.n, text, c.utf16), Value{State: Text, Data: []byte(c.in)}); got != c.want {
			t.Errorf("%d of %q (UTF-16: %v): got %q, want %q", c.n, c.in, c.utf16, got, c.want)
		}
	}
	if got := apply(Truncate(2, maskColumn("bytea", -1), false), Value{State: Text, Data: []byte(`\x010203`)}); got != `\x0102` {
		t.Errorf("bytea: got %s", got)
	}
	// A column that cannot be longer has no mask, and no parameter that says so.
	domain := &Column{Modifier: -1, Type: &Type{Kind: KindDomain, BaseModifier: -1, Base: &Type{Kind: KindDomain, BaseModifier: 9, Base: &Type{Name: "varchar", Kind: KindBase}}}}
	for name, c := range map[string]*Column{"varchar(5)": maskColumn("varchar", 9), "char(3)": maskColumn("bpchar", 7), `"char"`: maskColumn("char", -1), "a domain": domain} {
		if Truncate(5, c, false) != nil {
			t.Errorf("%s is truncated to 5", name)
		}
	}
	if Truncate(4, domain, false) == nil {
		t.Error("a domain over a domain over varchar(5) is not truncated to 4")
	}
}

// TestHashNeedsItsKey holds HMAC-SHA-256 against RFC 4231, test case 2.
func TestHashNeedsItsKey(t *testing.T) {
	t.Parallel()
	v := Value{State: Text, Data: []byte("what do ya want for nothing?")}
	const want = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
	m := Hash([]byte("Jefe"), maskColumn("text", -1))
	for range 2 { // the second value begins anew
		if got := apply(m, v); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := apply(m, Value{}); got != "state 0" {
		t.Errorf("NULL: got %s", got)
	}
	if got := apply(Hash([]byte("Jefe"), maskColumn("bpchar", 4+16)), v); got != want[:16] {
		t.Errorf("char(16): got %s", got)
	}
}

func TestUnknownHashesAreRefused(t *testing.T) {
	t.Parallel()
	for _, a := range HashAlgorithms() {
		if _, err := DebeziumHash(a, "", 1, maskColumn("text", -1)); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	if _, err := DebeziumHash("CRC", "", 1, maskColumn("text", -1)); err == nil {
		t.Error("CRC is taken")
	}
	if _, err := DebeziumHash("MD5", "", 3, maskColumn("text", -1)); err == nil {
		t.Error("version 3 is taken")
	}
}

func TestWhatCanBeMasked(t *testing.T) {
	t.Parallel()
	enum := &Column{Type: &Type{Name: "mood", Kind: KindEnum}}
	domain := &Column{Type: &Type{Name: "email", Kind: KindDomain, Base: &Type{Name: "citext", Kind: KindBase}}}
	texts := &Column{Type: &Type{Name: "_text", Kind: KindArray, Elem: &Type{Name: "text", Kind: KindBase}}}
	for _, c := range []struct {
		column    *Column
		mask, cut bool
	}{
		{maskColumn("text", -1), true, true}, {enum, true, true}, {domain, true, true},
		{maskColumn("bytea", -1), false, true}, {maskColumn("jsonb", -1), false, true},
		{maskColumn("int4", -1), false, false}, {texts, false, false}, {&Column{}, false, false},
	} {
		if got := Maskable(c.column); got != c.mask {
			t.Errorf("%+v: maskable %v", c.column.Type, got)
		}
		if got := Truncatable(c.column); got != c.cut {
			t.Errorf("%+v: truncatable %v", c.column.Type, got)
		}
	}
}

func TestMasksDoNotAllocate(t *testing.T) {
	text := maskColumn("text", -1)
	v1, err := DebeziumHash("SHA-256", "salty", 1, text)
	if err != nil {
		t.Fatal(err)
	}
	v := Value{State: Text, Data: []byte("somebody@example.com")}
	dst := make([]byte, 0, 256)
	for name, m := range map[string]*Mask{"asterisks": Asterisks(8), "truncate": Truncate(3, text, false), "hash": Hash([]byte("key"), text), "version 1": v1} {
		m.Append(dst, v, text) // its buffers grow
		if n := testing.AllocsPerRun(100, func() { m.Append(dst, v, text) }); n > 0 {
			t.Errorf("%s allocates %v times a value", name, n)
		}
	}
}
