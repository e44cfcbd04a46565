package golden

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// capture is one file of the corpus: the SQL that was run and every record that
// Debezium wrote of it. testdata/README.md describes the fields.
type capture struct {
	Name       string            `json:"name"`
	Covers     []int             `json:"covers"`
	About      string            `json:"about"`
	PostgreSQL string            `json:"postgresql"`
	Prefix     string            `json:"topic_prefix"`
	Properties map[string]string `json:"connector_properties"`
	Setup      string            `json:"setup_sql"`
	Workload   string            `json:"workload_sql"`
	Steps      []step            `json:"steps"`
	Failure    []string          `json:"connector_failure"`
	Notes      []string          `json:"notes"`
	Count      int               `json:"record_count"`
	Schemas    map[int]string    `json:"schemas"`
	Records    []capturedRecord  `json:"records"`
}

type step struct {
	Step  string            `json:"step"`
	SQL   string            `json:"sql"`
	Props map[string]string `json:"props"`
}

type capturedRecord struct {
	Topic       string          `json:"topic"`
	KeySchema   int             `json:"key_schema"`   // 0: null
	ValueSchema int             `json:"value_schema"` // 0: null
	Key         json.RawMessage `json:"key"`
	Value       json.RawMessage `json:"value"`
	KeyHex      *string         `json:"key_hex"`
	ValueHex    *string         `json:"value_hex"`
	Headers     []header        `json:"headers"`
}

type header struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// steps is what happens in the case, in the form of those that list it.
func (c *capture) steps() []step {
	if c.Steps != nil {
		return c.Steps
	}
	return []step{{Step: "sql", SQL: c.Setup}, {Step: "start"}, {Step: "sql", SQL: c.Workload}}
}

// corpus reads every case, by name.
func corpus(t *testing.T) []*capture {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []*capture
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := &capture{}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		cases = append(cases, c)
	}
	return cases
}

// datum is a key or a value as it stood in Kafka.
type datum struct {
	schema string // text; "" for null
	body   []byte // Avro bytes without the registry's header; nil for null
	typ    *avroType
	value  any // decoded
}

func (d *datum) null() bool { return d.schema == "" }

// newDatum decodes.
func newDatum(schema string, body []byte) (datum, error) {
	d := datum{schema: schema, body: body}
	var err error
	if d.typ, err = parseAvro(schema); err == nil {
		d.value, err = d.typ.decode(body)
	}
	return d, err
}

// record is one record of a topic: Debezium's or ours.
type record struct {
	topic      string
	key, value datum
	headers    []header
	letter     string // of the relay's dead letters, which are JSON: what it says
}

// records are the case's records by topic.
func (c *capture) records() (map[string][]*record, error) {
	topics := map[string][]*record{}
	for i, gr := range c.Records {
		r := &record{topic: gr.Topic, headers: slices.Clone(gr.Headers)}
		var err error
		if r.key, err = c.datum(gr.KeySchema, gr.KeyHex); err == nil {
			r.value, err = c.datum(gr.ValueSchema, gr.ValueHex)
		}
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
		topics[r.topic] = append(topics[r.topic], r)
	}
	return topics, nil
}

func (c *capture) datum(schema int, text *string) (datum, error) {
	if schema == 0 && text == nil {
		return datum{}, nil
	}
	if schema == 0 || text == nil || c.Schemas[schema] == "" {
		return datum{}, fmt.Errorf("schema %d and bytes do not belong together", schema)
	}
	body, err := hex.DecodeString(*text)
	if err != nil {
		return datum{}, err
	}
	return newDatum(c.Schemas[schema], body)
}

// TestCorpusIsWhole holds that nothing of the corpus is lost or damaged.
func TestCorpusIsWhole(t *testing.T) {
	t.Parallel()
	cases := corpus(t)
	if len(cases) != 144 {
		t.Errorf("%d cases, want 144", len(cases))
	}
	for _, c := range cases {
		if len(c.Records) != c.Count {
			t.Errorf("%s: %d records, want %d", c.Name, len(c.Records), c.Count)
		}
		texts := map[string]int{}
		for n, text := range c.Schemas {
			if m := texts[text]; m != 0 {
				t.Errorf("%s: schemas %d and %d are one", c.Name, m, n)
			}
			texts[text] = n
		}
	}
}

// TestDecoderReadsTheCorpus holds the decoder of these tests to the values that
// Java's decoder found in the same bytes, and the encoder to the bytes.
func TestDecoderReadsTheCorpus(t *testing.T) {
	t.Parallel()
	for _, c := range corpus(t) {
		topics, err := c.records()
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		seen := map[string]int{}
		for i, gr := range c.Records {
			r := topics[gr.Topic][seen[gr.Topic]]
			seen[gr.Topic]++
			for _, part := range []struct {
				name string
				text []byte
				datum
			}{{"key", gr.Key, r.key}, {"value", gr.Value, r.value}} {
				if part.null() {
					if string(part.text) != "null" {
						t.Errorf("%s: record %d: the %s is null, want %s", c.Name, i, part.name, part.text)
					}
					continue
				}
				want, err := normal(part.text)
				if err != nil {
					t.Fatalf("%s: record %d: %v", c.Name, i, err)
				}
				if got := render(part.value); got != want {
					t.Errorf("%s: record %d: %s\n got %s\nwant %s", c.Name, i, part.name, got, want)
				}
				if again, err := part.typ.encode(nil, part.value); err != nil || !bytes.Equal(again, part.body) {
					t.Errorf("%s: record %d: %s encoded again: %v\n got %x\nwant %x", c.Name, i, part.name, err, again, part.body)
				}
			}
		}
	}
}

// TestDecoderRefusesTornBytes holds that bytes which are cut or longer than
// their schema says are no record, whatever they begin with.
func TestDecoderRefusesTornBytes(t *testing.T) {
	t.Parallel()
	for _, c := range corpus(t) {
		if !strings.HasPrefix(c.Name, "arrays") && !strings.HasPrefix(c.Name, "hstore_map") {
			continue
		}
		topics, err := c.records()
		if err != nil {
			t.Fatal(err)
		}
		for _, rs := range topics {
			for _, r := range rs {
				if r.value.null() {
					continue
				}
				for n := range r.value.body {
					if v, err := r.value.typ.decode(r.value.body[:n]); err == nil {
						t.Fatalf("%s: %d of %d bytes decode to %s", c.Name, n, len(r.value.body), render(v))
					}
				}
				if _, err := r.value.typ.decode(append(bytes.Clone(r.value.body), 0)); err == nil {
					t.Fatalf("%s: a byte too many is not noticed", c.Name)
				}
			}
		}
	}
}
