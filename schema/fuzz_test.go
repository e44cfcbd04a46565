package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// FuzzPlan feeds any text to every type: the outcome is Avro bytes that read
// back and encode the same again, or an error of a known type.
func FuzzPlan(f *testing.F) {
	for _, s := range []string{
		"", "1", "-0.5", "t", "NaN", "infinity", "2020-01-01", "0044-03-15 12:00:00.5+05:30 BC", "24:00:00", "1 year -2 mons +3 days -04:05:06.7",
		`{1,NULL,"a\"b"}`, `[0:1]={{1,2},{3,4}}`, `\x00ff`, `a\\\001`, "$1,234.50", "101", `"k"=>"v", "n"=>NULL`,
	} {
		f.Add([]byte(s))
	}
	table := oracleTable()
	for _, name := range []string{"money", "timetz", "interval", "bit", "varbit", "bool[]", "bytea[]", "point", "date[]", "float8[]"} {
		table.Columns = append(table.Columns, cdc.Column{Name: name, Type: base(name), Modifier: 9})
	}
	table.Columns = append(table.Columns,
		cdc.Column{Name: "hstore", Type: &cdc.Type{Schema: "public", Name: "hstore", Kind: cdc.KindBase}, Modifier: -1},
		cdc.Column{Name: "moods", Type: arrayOf(enum("mood", "sad")), Modifier: -1})
	p := mustPlan(f, Settings{}, table, "n.public.t")
	r, err := NewReader(p.ValueSchema())
	if err != nil {
		f.Fatal(err)
	}
	row := make([]cdc.Value, len(table.Columns))
	f.Fuzz(func(t *testing.T, data []byte) {
		for i := range p.fields {
			fld := &p.fields[i]
			dst, err := p.appendField(nil, fld, cdc.Value{Data: data, State: cdc.Text})
			if err != nil {
				checkRefusal(t, err, table.Columns[fld.column].Name)
				continue
			}
			checkFieldReads(t, p, r, i, dst)
		}
		for i := range row {
			row[i] = cdc.Value{Data: data, State: cdc.Text}
		}
		if _, err := p.AppendValue(nil, &cdc.Envelope{Op: cdc.OpCreate, After: row}); err != nil {
			checkRefusal(t, err, "")
		}
	})
}

func checkRefusal(t *testing.T, err error, column string) {
	t.Helper()
	var value *cdc.ValueError
	var fact *cdc.FactError
	switch {
	case errors.As(err, &fact):
	case errors.As(err, &value) && (column == "" || value.Column == column):
	default:
		t.Fatalf("column %s: %v", column, err)
	}
}

// checkFieldReads reads one field's bytes and encodes the text again.
func checkFieldReads(t *testing.T, p *Plan, r *Reader, i int, avro []byte) {
	t.Helper()
	c := newCursor(avro)
	r.arena = r.arena[:0]
	v := r.readValue(&c, r.row.fields[i].node)
	if err := c.finish(); err != nil {
		t.Fatalf("column %s: %v reading %x", p.column(&p.fields[i]), err, avro)
	}
	m := p.fields[i].mapping
	switch m.form {
	case formBit, formHstore, formArray, formString, formMoney:
		return // another text form, or arrays of such
	}
	again, reason := p.encodeText(append([]byte(nil), p.fields[i].branch...), m, v.Data)
	if reason != "" || !bytes.Equal(again, avro) {
		t.Fatalf("column %s: %x is %q, which is %x: %s", p.column(&p.fields[i]), avro, v.Data, again, reason)
	}
}

// FuzzReader feeds any bytes to a reader of many types: it never panics, and
// refuses with a *DecodeError.
func FuzzReader(f *testing.F) {
	p := mustPlan(f, Settings{}, oracleTable(), "n.public.t")
	r, err := NewReader(p.ValueSchema())
	if err != nil {
		f.Fatal(err)
	}
	row := make([]cdc.Value, len(p.table.Columns))
	for i := range row {
		row[i].State = cdc.Absent
	}
	record, err := p.AppendValue(nil, &cdc.Envelope{Op: cdc.OpDelete, Before: row, After: row})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record[cdc.KeyHeaderBytes:])
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		var e Event
		err := r.Read(body, &e)
		var bad *DecodeError
		if err != nil && !errors.As(err, &bad) {
			t.Fatal(err)
		}
		js, jsonErr := r.AppendJSON(nil, body)
		if err == nil && (jsonErr != nil || !json.Valid(js)) {
			t.Fatalf("%v in %s", jsonErr, js)
		}
	})
}

// FuzzSchema feeds any text to the schema parser, to the compatibility rules and
// to the comparison for people, whose verdicts agree.
func FuzzSchema(f *testing.F) {
	value := readFile(f, "testdata/customers-value.json")
	record := `{"type":"record","name":"r","fields":[{"name":"a","type":["null","r"]}]}`
	f.Add(value, strings.Replace(value, `"type":"string"`, `"type":"int"`, 1))
	f.Add(record, record)
	f.Add(envelopeOf(fieldID), envelopeOf(fieldID+`,{"name":"b","type":{"type":"array","items":"int"}}`))
	f.Fuzz(func(t *testing.T, before, after string) {
		if r, err := NewReader(after); err == nil {
			var e Event
			_ = r.Read([]byte{0, 0, 0, 0}, &e)
			_, _ = r.AppendJSON(nil, []byte{2, 2, 2, 2, 2, 2, 2, 2})
		}
		_, _, _ = Compatible("FULL", after, []string{before})
		list, err := Differences(before, after)
		_ = Blame("FULL", after, []string{before}, []string{"at /fields/1/type/1/fields/0"})
		if err != nil {
			return
		}
		for _, d := range list {
			if d.String() == "" || d.Change == "" {
				t.Fatalf("%+v", d)
			}
		}
		if same, err := Differences(after, after); err != nil || same != nil {
			t.Fatalf("a schema differs from itself: %v, %v", same, err)
		}
	})
}
