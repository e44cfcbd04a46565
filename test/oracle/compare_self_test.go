package oracle

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// sample are three records of one topic, made anew by each call.
func sample() []*record {
	datumOf := func(schema string, leaves ...leaf) *datum { return &datum{schema: schema, leaves: leaves} }
	row := func(op, id, name, lsn, snapshot string) *record {
		return &record{
			topic: "p.s1.t1", key: datumOf(`{"k":1}`, leaf{"id", id}),
			value: datumOf(`{"v":1}`, leaf{"before", "null"}, leaf{"after.id", id}, leaf{"after.c1_text", name}, leaf{"source.version", `"1"`},
				leaf{"source.lsn", lsn}, leaf{"source.snapshot", snapshot}, leaf{"op", op}, leaf{"ts_ms", "1"}),
			headers: []leaf{{"h", "x"}},
		}
	}
	return []*record{row(`"r"`, "1", `"a"`, "10", `"last"`), row(`"c"`, "2", `"b"`, "20", `"false"`), row(`"u"`, "2", `"c"`, "30", `"false"`)}
}

func set(r *record, path, text string) {
	for i := range r.value.leaves {
		if r.value.leaves[i].path == path {
			r.value.leaves[i].text = text
		}
	}
}

// TestComparisonFindsWhatDiffers spoils one thing at a time.
func TestComparisonFindsWhatDiffers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(ours []*record) []*record
		want  string // in the failure; "" for none
	}{
		{"nothing", func(o []*record) []*record { return o }, ""},
		{"a clock", func(o []*record) []*record { set(o[1], "ts_ms", "2"); return o }, ""},
		{"the version", func(o []*record) []*record { set(o[1], "source.version", `"2"`); return o }, ""},
		{"a snapshot's position", func(o []*record) []*record { set(o[0], "source.lsn", "11"); return o }, ""},
		{"a header of ours", func(o []*record) []*record { o[0].headers = append(o[0].headers, leaf{"tailrace.pos", "1"}); return o }, ""},
		{"a value", func(o []*record) []*record { set(o[1], "after.c1_text", `"B"`); return o }, "value after.c1_text"},
		{"null", func(o []*record) []*record { set(o[1], "after.c1_text", "null"); return o }, "value after.c1_text"},
		{"a position", func(o []*record) []*record { set(o[1], "source.lsn", "21"); return o }, "value source.lsn"},
		{"a key", func(o []*record) []*record { o[1].key.leaves[0].text = "3"; return o }, "key id"},
		{"a null key", func(o []*record) []*record { o[2].key = nil; return o }, "key"},
		{"a tombstone", func(o []*record) []*record { o[2].value = nil; return o }, "value"},
		{"a header", func(o []*record) []*record { o[1].headers[0].text = "y"; return o }, "headers"},
		{"a schema", func(o []*record) []*record { o[1].value.schema = `{"v":2}`; return o }, "value schema"},
		{"a key's schema", func(o []*record) []*record { o[1].key.schema = `{"k":2}`; return o }, "key schema"},
		{"the order of fields", func(o []*record) []*record {
			l := o[1].value.leaves
			l[1], l[2] = l[2], l[1]
			return o
		}, "value (order)"},
		{"a field more", func(o []*record) []*record { o[1].value.leaves = append(o[1].value.leaves, leaf{"x", "1"}); return o }, "value x"},
		{"a record less", func(o []*record) []*record { return append(o[:1], o[2:]...) }, "relay:    nothing"},
		{"a record more", func(o []*record) []*record { return append(o[:2], append(sample()[1:2], o[2])...) }, "Debezium: nothing"},
		{"the last record", func(o []*record) []*record { return o[:2] }, "relay:    nothing"},
		{"all records", func([]*record) []*record { return nil }, "relay:    nothing"},
		{"the order of records", func(o []*record) []*record { o[1], o[2] = o[2], o[1]; return o }, "record"},
	} {
		got := newComparison()
		got.topic("p.s1.t1", c.spoil(sample()), sample())
		text := ""
		for _, f := range got.failed {
			text += f.text + "\n"
		}
		if c.want == "" && text != "" || c.want != "" && !strings.Contains(text, c.want) {
			t.Errorf("%s: found %q, want %q", c.name, text, c.want)
		}
		if c.want != "" && !got.seeds[1] {
			t.Errorf("%s: the seed did not fail", c.name)
		}
	}
}

// TestWantedDifferencesAreNarrow holds that a row of the table explains its own
// difference, and not one beside it.
func TestWantedDifferencesAreNarrow(t *testing.T) {
	t.Parallel()
	value := func(path, our, their, snapshot string) *disparity {
		r := &record{key: &datum{}, value: &datum{leaves: []leaf{{"source.snapshot", snapshot}, {"op", `"c"`}}}}
		return &disparity{ours: r, theirs: r, part: "value", path: path, our: our, their: their}
	}
	schemas := func(ours, theirs string) *disparity {
		return &disparity{part: "value schema", ours: &record{value: &datum{schema: ours}}, theirs: &record{value: &datum{schema: theirs}}}
	}
	enum := func(labels, items string) string {
		return `{"a":{"items":` + items + `,"connect.parameters":{"allowed":"` + labels + `"}},"z":1}`
	}
	for _, c := range []struct {
		name string
		d    *disparity
		want bool
	}{
		{"null array", value("after.c1_ltree_a", `[0]=null =1 items `, "=null ", `"false"`), true},
		{"null array without a null in it", value("after.c1_ltree_a", `[0]="a" =1 items `, "=null ", `"false"`), false},
		{"null array of text", value("after.c1_text_a", `[0]=null =1 items `, "=null ", `"false"`), false},
		{"date in a snapshot", value("after.c1_date", "=1 ", "=2 ", `"true"`), true},
		{"date in the stream", value("after.c1_date", "=1 ", "=2 ", `"false"`), false},
		{"time array", value("after.c1_time_a", "[0]=3600123456 ", "[0]=3600123000 ", `"false"`), true},
		{"time array in nanoseconds", value("after.c1_time_a", "[0]=43200123456000 ", "[0]=43200123000000 ", `"false"`), true},
		{"time array as text", value("after.c1_time_a", `[0]="10:00:00.123456Z" `, `[0]="10:00:00.123Z" `, `"false"`), true},
		{"another time", value("after.c1_time_a", `[0]="10:00:00.124456Z" `, `[0]="10:00:00.123Z" `, `"false"`), false},
		{"name", value("after.c1_name", `="x" `, "=null ", `"false"`), true},
		{"varchar", value("after.c1_varchar", `="x" `, "=null ", `"false"`), false},
		{"collections", value("data_collections", `[0].data_collection="a" [0].event_count=1 [1].data_collection="b" [1].event_count=2 =2 items `,
			`[0].data_collection="b" [0].event_count=2 [1].data_collection="a" [1].event_count=1 =2 items `, `"false"`), true},
		{"counts", value("data_collections", `[0].data_collection="a" [0].event_count=1 =1 items `, `[0].data_collection="a" [0].event_count=2 =1 items `, `"false"`), false},
		{"labels", schemas(enum("a,b,c", `"s"`), enum("a,c", `"s"`)), true},
		{"labels in another order", schemas(enum("a,b", `"s"`), enum("b,a", `"s"`)), false},
		{"nullable items", schemas(enum("a", `["null",{"x":["q"]}]`), enum("a", `{"x":["q"]}`)), true},
		{"nullable items of theirs", schemas(enum("a", `"s"`), enum("a", `["null","s"]`)), false},
		{"both", schemas(enum("a,b", `["null","s"]`), enum("a", `"s"`)), true},
		{"both, and more", schemas(enum("a,b", `["null","s"]`), enum("a", `"s"`)+" "), false},
	} {
		if got := find(c.d) != nil; got != c.want {
			t.Errorf("%s: wanted %t, want %t", c.name, got, c.want)
		}
	}
}

// TestSeedMakesTheSameScenario holds what a failing seed's command promises.
func TestSeedMakesTheSameScenario(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		a, b := newScenario(seed, profiles()), newScenario(seed, profiles())
		if !reflect.DeepEqual(a.setup, b.setup) || !reflect.DeepEqual(a.phases, b.phases) {
			t.Fatalf("seed %d makes two scenarios", seed)
		}
		if c := newScenario(seed+1, profiles()); reflect.DeepEqual(a.phases, c.phases) {
			t.Fatalf("seeds %d and %d make the same", seed, seed+1)
		}
	}
}

// TestDecoderReadsTheGoldenRecords runs the decoder over all that Debezium wrote
// there: it must use every byte.
func TestDecoderReadsTheGoldenRecords(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "golden", "testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range files {
		var capture struct {
			Schemas map[string]string
			Records []struct {
				KeySchema   *json.Number `json:"key_schema"`
				ValueSchema *json.Number `json:"value_schema"`
				KeyHex      string       `json:"key_hex"`
				ValueHex    string       `json:"value_hex"`
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &capture); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		decode := func(id *json.Number, data string) {
			if id == nil {
				return
			}
			typ, err := parseAvro(capture.Schemas[id.String()])
			if err != nil {
				t.Fatalf("%s: schema %s: %v", file, id, err)
			}
			b, err := hex.DecodeString(data)
			if err != nil {
				t.Fatal(err)
			}
			if leaves, err := decodeAvro(typ, b); err != nil || len(leaves) == 0 {
				t.Errorf("%s: %v: %s", file, err, data)
			}
			count++
		}
		for _, r := range capture.Records {
			decode(r.KeySchema, r.KeyHex)
			decode(r.ValueSchema, r.ValueHex)
		}
	}
	if count < 1000 {
		t.Errorf("only %d keys and values were decoded", count)
	}
}
