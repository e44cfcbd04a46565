package schema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tailrace/tailrace/cdc"
)

// envelopeOf is an envelope's schema around fields, as far as comparison looks.
func envelopeOf(fields string) string {
	return `{"type":"record","name":"Envelope","namespace":"shop.public.t","fields":[` +
		`{"name":"before","type":["null",{"type":"record","name":"Value","fields":[` + fields + `],"connect.name":"shop.public.t.Value"}],"default":null},` +
		`{"name":"after","type":["null","Value"],"default":null},{"name":"op","type":"string"}],"connect.version":2,"connect.name":"shop.public.t.Envelope"}`
}

const (
	fieldID       = `{"name":"id","type":"int"}`
	variableField = `{"name":"%s","type":["null",{"type":"record","name":"VariableScaleDecimal","namespace":"io.debezium.data","fields":[{"name":"scale","type":"int"},{"name":"value","type":"bytes"}],"connect.doc":"Variable scaled decimal","connect.version":1,"connect.name":"io.debezium.data.VariableScaleDecimal"}],"default":null}`
)

func TestDifferencesSayWhatBreaksWhom(t *testing.T) {
	t.Parallel()
	decimal := func(p, s int) string {
		return fmt.Sprintf(`{"name":"d","type":["null",{"type":"bytes","scale":%d,"precision":%d,"connect.version":1,"connect.parameters":{"scale":"%d","connect.decimal.precision":"%d"},"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}],"default":null}`, s, p, s, p)
	}
	temporal := func(name string) string {
		return `{"name":"at","type":["null",{"type":"long","connect.version":1,"connect.name":"io.debezium.time.` + name + `"}],"default":null}`
	}
	mood := func(allowed string) string {
		return `{"name":"m","type":{"type":"string","connect.version":1,"connect.parameters":{"allowed":"` + allowed + `"},"connect.name":"io.debezium.data.Enum"}}`
	}
	for name, test := range map[string]struct {
		before, after string
		want          []string
	}{
		"nothing": {fieldID, fieldID, nil},
		"white space and order of properties": {
			decimal(10, 2), strings.Replace(decimal(10, 2), `"scale":2,"precision":10`, `"precision": 10, "scale":2`, 1), nil,
		},
		"added": {
			fieldID, fieldID + `,{"name":"b","type":"string"}`,
			[]string{`column "b": added, string not null; breaks BACKWARD and FULL: old records have no value for it, and it has no default`},
		},
		"added, nullable without default": {
			fieldID, fieldID + `,{"name":"b","type":["null","string"]}`,
			[]string{`column "b": added, string null; breaks BACKWARD and FULL: old records have no value for it, and it has no default`},
		},
		"added with default": {
			fieldID, fieldID + `,{"name":"b","type":["null","string"],"default":null}`,
			[]string{`column "b": added, string null default null`},
		},
		"removed": {
			fieldID + `,{"name":"b","type":"string"}`, fieldID,
			[]string{`column "b": removed, was string not null; breaks FORWARD and FULL: new records have no value for it, and it had no default`},
		},
		"removed with default": {
			fieldID + `,{"name":"b","type":["null","string"],"default":null}`, fieldID,
			[]string{`column "b": removed, was string null default null`},
		},
		"promoted": {
			fieldID, `{"name":"id","type":"long"}`,
			[]string{`column "id": type long, was int; breaks FORWARD and FULL: new records have long where old readers want int`},
		},
		"smaller integer": {
			fieldID, `{"name":"id","type":{"type":"int","connect.type":"int16"}}`, []string{`column "id": type int16, was int`},
		},
		"another type": {
			fieldID, `{"name":"id","type":"string"}`,
			[]string{`column "id": type string, was int; breaks BACKWARD and FULL: old records have int where new readers want string; breaks FORWARD and FULL: new records have string where old readers want int`},
		},
		"another unit": {
			temporal("MicroTimestamp"), temporal("Timestamp"),
			[]string{`column "at": type long io.debezium.time.Timestamp, was long io.debezium.time.MicroTimestamp; a reader that goes by the other version takes the same bytes for another value`},
		},
		"precision": {decimal(10, 2), decimal(12, 2), []string{`column "d": type decimal(12,2), was decimal(10,2)`}},
		"scale": {
			decimal(10, 2), decimal(10, 3),
			[]string{`column "d": type decimal(10,3), was decimal(10,2); breaks BACKWARD and FULL: old records have decimal(10,2) where new readers want decimal(10,3); breaks FORWARD and FULL: new records have decimal(10,3) where old readers want decimal(10,2)`},
		},
		"nullable now": {
			fieldID, `{"name":"id","type":["null","int"],"default":null}`,
			[]string{
				`column "id": nullable null, was not null; breaks FORWARD and FULL: new records may hold null, which old readers have no place for`,
				`column "id": default null, was none`,
			},
		},
		"not null now": {
			`{"name":"b","type":["int","null"],"default":7}`, `{"name":"b","type":{"type":"int","connect.default":7},"default":7}`,
			[]string{`column "b": nullable not null, was null; breaks BACKWARD and FULL: old records may hold null, which has no place in it`},
		},
		"default": {
			`{"name":"b","type":{"type":"int","connect.default":7},"default":7}`, `{"name":"b","type":{"type":"int","connect.default":8},"default":8}`,
			[]string{`column "b": default 8, was 7`},
		},
		"labels": {mood("sad,ok"), mood("sad,ok,happy"), []string{`column "m": labels sad,ok,happy, was sad,ok`}},
		"properties": {
			`{"name":"b","type":{"type":"string","connect.parameters":{"masked":"true"}}}`, `{"name":"b","type":"string"}`,
			[]string{`column "b": properties none, was {"connect.parameters":{"masked":"true"}}`},
		},
		"element": {
			`{"name":"a","type":{"type":"array","items":["null","int"]}}`, `{"name":"a","type":{"type":"array","items":["null","string"]}}`,
			[]string{`column "a": type array of null or string, was array of null or int; breaks BACKWARD and FULL: old records have array of null or int where new readers want array of null or string; breaks FORWARD and FULL: new records have array of null or string where old readers want array of null or int`},
		},
		"order": {
			fieldID + `,{"name":"b","type":"int"}`, `{"name":"b","type":"int"},` + fieldID,
			[]string{`the fields: order b, id, was id, b`},
		},
		// The definition of a shared record moves to another column.
		"shared record": {
			fmt.Sprintf(variableField, "x") + `,{"name":"y","type":["null","io.debezium.data.VariableScaleDecimal"],"default":null}`, fmt.Sprintf(variableField, "y"),
			[]string{`column "x": removed, was io.debezium.data.VariableScaleDecimal null default null`},
		},
		"original name": {
			fieldID, fieldID + `,{"name":"x_y","type":{"type":"string","connect.parameters":{"__debezium.source.column.name":"x$y"}}}`,
			[]string{`column "x$y": added, string not null; breaks BACKWARD and FULL: old records have no value for it, and it has no default`},
		},
	} {
		for form, wrap := range map[string]func(string) string{"row": envelopeOf, "key": compatRecord} {
			list, err := Differences(wrap(test.before), wrap(test.after))
			if err != nil {
				t.Errorf("%s, %s: %v", name, form, err)
				continue
			}
			var got []string
			for _, d := range list {
				got = append(got, d.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s, %s:\n%s", name, form, diff)
			}
		}
	}
}

func TestDifferencesOfTheEnvelopeItself(t *testing.T) {
	t.Parallel()
	older := strings.Replace(envelopeOf(fieldID), `,{"name":"op","type":"string"}`, "", 1)
	list, err := Differences(older, envelopeOf(fieldID))
	if err != nil || len(list) != 1 || list[0].Field != "op" || list[0].Column != "" || !list[0].Breaks("BACKWARD") {
		t.Errorf("got %v, %v", list, err)
	}
	for _, bad := range []string{"", `"int"`, `{"type":"record"`, envelopeOf(fieldID) + "x", envelopeOf(fieldID + "," + fieldID), compatRecord(fieldID)} {
		if _, err := Differences(bad, envelopeOf(fieldID)); err == nil {
			t.Errorf("%s: no error", bad)
		}
		if _, err := Differences(envelopeOf(fieldID), bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// Whether any difference breaks a level has to be what the whole comparison says.
func TestDifferencesAgreeWithCompatible(t *testing.T) {
	t.Parallel()
	fields := []string{
		`{"name":"f","type":"int"}`, `{"name":"f","type":"long"}`, `{"name":"f","type":"float"}`, `{"name":"f","type":"double"}`,
		`{"name":"f","type":"string"}`, `{"name":"f","type":"bytes"}`, `{"name":"f","type":"boolean"}`,
		`{"name":"f","type":["null","int"],"default":null}`, `{"name":"f","type":["null","long"]}`, `{"name":"f","type":["string","null"],"default":"x"}`,
		`{"name":"f","type":{"type":"int","connect.default":3},"default":3}`, `{"name":"f","type":{"type":"array","items":["null","int"]}}`,
		`{"name":"f","type":["null",{"type":"array","items":"long"}],"default":null}`, `{"name":"f","type":{"type":"map","values":"string"}}`,
		`{"name":"f","type":{"type":"bytes","scale":2,"precision":4,"logicalType":"decimal"}}`, `{"name":"f","type":{"type":"bytes","scale":2,"precision":9,"logicalType":"decimal"}}`,
		`{"name":"f","type":{"type":"bytes","scale":3,"precision":9,"logicalType":"decimal"}}`, `{"name":"f","type":{"type":"long","connect.name":"io.debezium.time.Timestamp"}}`,
		fmt.Sprintf(variableField, "f"), `{"name":"g","type":"int"}`, `{"name":"g","type":["null","int"],"default":null}`,
	}
	for _, before := range fields {
		for _, after := range fields {
			list, err := Differences(envelopeOf(fieldID+","+before), envelopeOf(fieldID+","+after))
			if err != nil {
				t.Fatal(err)
			}
			for _, level := range []string{"NONE", "BACKWARD", "FORWARD", "FULL", "FULL_TRANSITIVE"} {
				want, messages, err := Compatible(level, envelopeOf(fieldID+","+after), []string{envelopeOf(fieldID + "," + before)})
				if err != nil {
					t.Fatal(err)
				}
				got := true
				for _, d := range list {
					got = got && !d.Breaks(level)
				}
				if got != want {
					t.Errorf("%s, %s to %s: differences say %v %v, the comparison %v %v", level, before, after, got, list, want, messages)
				}
			}
			if (len(list) == 0) != (before == after) {
				t.Errorf("%s to %s: %v", before, after, list)
			}
		}
	}
}

// The schemas that the encoder writes compare with themselves as equal, and a
// change of the table is one change of the schema.
func TestDifferencesOfATablesSchemas(t *testing.T) {
	t.Parallel()
	_, before, err := Describe(Settings{Name: "shop"}, customers(), "shop.inventory.customers")
	if err != nil {
		t.Fatal(err)
	}
	changed := customers()
	changed.Columns = append(changed.Columns, cdc.Column{Name: "note", Type: base("text"), Modifier: -1, NotNull: true})
	changed.Columns[5].Type = enum("tier", "basic", "gold", "black")
	_, after, err := Describe(Settings{Name: "shop"}, changed, "shop.inventory.customers")
	if err != nil {
		t.Fatal(err)
	}
	if list, err := Differences(before, before); err != nil || list != nil {
		t.Errorf("equal schemas: %v, %v", list, err)
	}
	list, err := Differences(before, after)
	if err != nil || len(list) != 2 || list[0].Column != "tier" || list[0].Change != ChangeLabels || list[0].Breaks("FULL") ||
		list[1].Column != "note" || list[1].Change != ChangeAdded || !list[1].Breaks("BACKWARD") || list[1].Breaks("FORWARD") {
		t.Errorf("got %v, %v", list, err)
	}
}

// Definitions that use each other twice would be written out for ever.
func TestDifferencesAreBounded(t *testing.T) {
	t.Parallel()
	definition := `"int"`
	for i := range 60 {
		name := fmt.Sprintf("r%d", i)
		definition = fmt.Sprintf(`{"type":"record","name":"%s","fields":[{"name":"a","type":%s},{"name":"b","type":"r%d"}]}`, name, definition, i-1)
		if i == 0 {
			definition = `{"type":"record","name":"r0","fields":[]}`
		}
	}
	if _, err := Differences(definition, definition); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("got %v", err)
	}
	list := `{"type":"record","name":"list","fields":[{"name":"next","type":["null","list"],"default":null}]}`
	if got, err := Differences(list, list); err != nil || got != nil {
		t.Errorf("a record that holds itself: %v, %v", got, err)
	}
}
