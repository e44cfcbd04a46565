package jsonlines

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

func TestLineOfEachType(t *testing.T) {
	t.Parallel()
	columns := []sinks.Column{{Name: "b", Type: sinks.Bool}, {Name: "i", Type: sinks.Int64}, {Name: "f", Type: sinks.Float64}, {Name: "nan", Type: sinks.Float64}, {Name: "d", Type: sinks.Decimal},
		{Name: "j", Type: sinks.JSON}, {Name: "a", Type: sinks.Int32, Array: true}, {Name: "n"}, {Name: "big"}}
	text := func(s string) cdc.Value { return cdc.Value{State: cdc.Text, Data: []byte(s)} }
	c := &sinks.Change{
		Origin: &sinks.Origin{Name: "shop", Database: "d", Schema: "public", Table: `o"x`}, Op: cdc.OpUpdate, Pos: "p", Key: `["1"]`, Offset: 7, Shape: &sinks.Shape{Columns: columns},
		Row: []cdc.Value{text("t"), text("9007199254740993"), text("1.5"), text("NaN"), text("1.50"), text("{\"a\" :\n \"x \\\" y\"}"), text("{1,2}"), {State: cdc.Null}, {State: cdc.Unchanged}},
	}
	got := string(Append(nil, sinks.Partition{Topic: "t", Number: 3}, 1, c))
	want := `{"topic":"t","partition":3,"offset":7,"gen":1,"pos":"p","op":"u","source":"shop","database":"d","schema":"public","table":"o\"x","key":"[\"1\"]",` +
		`"row":{"b":true,"i":9007199254740993,"f":1.5,"nan":"NaN","d":"1.50","j":{"a":"x \" y"},"a":"{1,2}","n":null},"unavailable":["big"]}` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Whatever the bytes are: one line, and the text that a JSON reader makes of it.
func TestTextIsOneLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		b := appendText(nil, s)
		var got string
		if err := json.Unmarshal(b, &got); err != nil || bytes.ContainsAny(b, "\n\r") {
			t.Fatalf("%q: %v", b, err)
		}
		if want := string(bytes.ToValidUTF8(s, nil)); bytes.Equal(bytes.ToValidUTF8(s, nil), s) && got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
