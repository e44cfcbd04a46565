package golden

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// copyOf gives the corpus' records of a case as if the relay had written them.
func copyOf(t *testing.T, c *capture) map[string][]*record {
	t.Helper()
	topics, err := c.records()
	if err != nil {
		t.Fatal(err)
	}
	return topics
}

// judged are all findings of a case with these records as ours, without
// exceptions.
func judged(t *testing.T, c *capture, ours map[string][]*record) []string {
	t.Helper()
	compared := newComparison(&exceptions{}, windowOf(copyOf(t, c)))
	found := compared.held(copyOf(t, c), ours)
	for _, d := range compared.found {
		found = append(found, d.String())
	}
	return found
}

// windowOf is when and where in the WAL records were made.
func windowOf(topics map[string][]*record) window {
	w := window{from: math.MaxInt64, fromLSN: math.MaxInt64}
	for _, records := range topics {
		for _, r := range records {
			o, ok := r.value.value.(*object)
			if !ok {
				continue
			}
			at := number(o, "ts_ms") * 1_000_000
			w.from, w.to = min(w.from, at), max(w.to, at)
			if source, ok := child(o, "source"); ok {
				at, lsn := number(source, "ts_ms")*1_000_000, number(source, "lsn")
				w.from, w.to = min(w.from, at), max(w.to, at)
				w.fromLSN, w.toLSN = min(w.fromLSN, lsn), max(w.toLSN, lsn)
			}
		}
	}
	const commit = 1 << 20 // the end of a transaction is behind its rows, and a first row behind a commit
	w.fromLSN, w.toLSN = w.fromLSN-commit, w.toLSN+commit
	return w
}

// TestComparisonTakesDebeziumItself holds that Debezium's own records are without
// a difference, and with all the properties that ours must have.
func TestComparisonTakesDebeziumItself(t *testing.T) {
	t.Parallel()
	for _, c := range corpus(t) {
		for _, what := range judged(t, c, copyOf(t, c)) {
			t.Errorf("%s: %s", c.Name, what)
		}
	}
}

// TestComparisonNotices damages records in each way that the relay could, one at
// a time.
func TestComparisonNotices(t *testing.T) {
	t.Parallel()
	cases := map[string]*capture{}
	for _, c := range corpus(t) {
		cases[c.Name] = c
	}
	at := func(m map[string][]*record, topic string, i int) *record { return m[topic][i] }
	field := func(v any, path string) *any {
		parts := strings.Split(path, ".")
		for _, name := range parts[:len(parts)-1] {
			v, _ = v.(*object).get(name)
		}
		o := v.(*object)
		return &o.values[slices.Index(o.names, parts[len(parts)-1])]
	}
	for name, d := range map[string]struct {
		on     string
		damage func(m map[string][]*record)
		want   string
	}{
		"a record is missing":   {"multi_ops", func(m map[string][]*record) { m["multi_ops.public.t"] = m["multi_ops.public.t"][1:] }, "only of Debezium"},
		"a record is repeated":  {"multi_ops", func(m map[string][]*record) { s := m["multi_ops.public.t"]; m["multi_ops.public.t"] = append(s, s[0]) }, "only of ours"},
		"a topic is missing":    {"quoted_identifiers", func(m map[string][]*record) { delete(m, "quoted_identifiers.public.user") }, "only of Debezium"},
		"a topic is new":        {"multi_ops", func(m map[string][]*record) { m["multi_ops.x"] = m["multi_ops.public.t"][:1] }, "only of ours"},
		"records change places": {"multi_ops", func(m map[string][]*record) { s := m["multi_ops.public.t"]; s[3], s[4] = s[4], s[3] }, "only of"},
		"a value differs":       {"multi_ops", func(m map[string][]*record) { *field(at(m, "multi_ops.public.t", 3).value.value, "after.v") = "x" }, "value.after.v"},
		"a key differs":         {"multi_ops", func(m map[string][]*record) { *field(at(m, "multi_ops.public.t", 3).key.value, "id") = int64(9) }, "key.id"},
		"null for a value":      {"multi_ops", func(m map[string][]*record) { *field(at(m, "multi_ops.public.t", 3).value.value, "after.v") = nil }, "value.after.v"},
		"a value for a tombstone": {"key_change", func(m map[string][]*record) {
			s := m["key_change.public.t"]
			s[slices.IndexFunc(s, func(r *record) bool { return r.value.null() })].value = s[0].value
		}, "record 3: value"},
		"float for double": {"floats", func(m map[string][]*record) {
			r := at(m, "floats.public.t", 0)
			*field(r.value.value, "after.f4") = float64((*field(r.value.value, "after.f4")).(float32))
		}, "value.after.f4"},
		"another schema text":      {"ints", func(m map[string][]*record) { at(m, "ints.public.t", 7).value.schema += " " }, "value schema"},
		"another key schema text":  {"ints", func(m map[string][]*record) { at(m, "ints.public.t", 7).key.schema += " " }, "key schema"},
		"a header is missing":      {"ints", func(m map[string][]*record) { r := at(m, "ints.public.t", 0); r.headers = r.headers[1:] }, "headers."},
		"headers in another order": {"ints", func(m map[string][]*record) { h := at(m, "ints.public.t", 0).headers; h[0], h[1] = h[1], h[0] }, "headers"},
		"a header too many": {"ints", func(m map[string][]*record) {
			r := at(m, "ints.public.t", 0)
			r.headers = append(r.headers, header{"x", "y"})
		}, "headers.x"},
		"a header of ours is early": {"ints", func(m map[string][]*record) {
			r := at(m, "ints.public.t", 0)
			r.headers = append([]header{{"tailrace.pos", "1"}}, r.headers...)
		}, "after a header of ours"},
		"a header's text":          {"ints", func(m map[string][]*record) { at(m, "ints.public.t", 0).headers[1].Text = "1" }, "headers."},
		"a run without an id":      {"ints", func(m map[string][]*record) { at(m, "ints.public.t", 0).headers[3].Text = "1" }, "UUID"},
		"a volatile field is null": {"multi_ops", func(m map[string][]*record) { *field(at(m, "multi_ops.public.t", 3).value.value, "source.txId") = nil }, "source.txId"},
		"a volatile field is not null": {"xmin", func(m map[string][]*record) {
			*field(at(m, "xmin.public.t", 0).value.value, "source.xmin") = int64(1)
		}, "source.xmin"},
		"a transaction with two ids": {"multi_ops", func(m map[string][]*record) {
			*field(at(m, "multi_ops.public.t", 4).value.value, "source.txId") = int64(1)
		}, "one transaction"},
		"two transactions with an id": {"multi_ops", func(m map[string][]*record) {
			*field(at(m, "multi_ops.public.t", 10).value.value, "source.txId") = *field(at(m, "multi_ops.public.t", 3).value.value, "source.txId")
		}, "they are two"},
		"a transaction with two times": {"multi_ops", func(m map[string][]*record) {
			s, _ := at(m, "multi_ops.public.t", 4).value.value.(*object).get("source")
			for _, f := range []string{"ts_ms", "ts_us", "ts_ns"} {
				*field(s, f) = int64(0)
			}
		}, "ts_ns"},
		"positions go back":  {"multi_ops", func(m map[string][]*record) { lsn(at(m, "multi_ops.public.t", 4), 1) }, "in Debezium"},
		"clocks that differ": {"multi_ops", func(m map[string][]*record) { *field(at(m, "multi_ops.public.t", 4).value.value, "ts_us") = int64(1) }, "not one time"},
		"a time of another day": {"multi_ops", func(m map[string][]*record) {
			*field(at(m, "multi_ops.public.t", 3).value.value, "ts_ms") = int64(1)
			*field(at(m, "multi_ops.public.t", 3).value.value, "ts_us") = int64(1000)
			*field(at(m, "multi_ops.public.t", 3).value.value, "ts_ns") = int64(1000000)
		}, "outside of what the case did"},
		"positions of another WAL": {"multi_ops", func(m map[string][]*record) {
			for _, r := range m["multi_ops.public.t"] {
				if !r.value.null() {
					lsn(r, (*field(r.value.value, "source.lsn")).(int64)-1<<30)
				}
			}
		}, "outside of what the case did"},
		"a start with two ids": {"multi_ops", func(m map[string][]*record) {
			at(m, "multi_ops.public.t", 4).headers[3].Text = "01a20049-e51e-75c9-80c2-adddec529821"
		}, "that start"},
		"two starts with one id": {"restart", func(m map[string][]*record) {
			at(m, "restart.public.t", 2).headers[3].Text = at(m, "restart.public.t", 1).headers[3].Text
		}, "that start"},
		"sequence with a first commit": {"multi_ops", func(m map[string][]*record) { sequence(at(m, "multi_ops.public.t", 3), `["1",%q]`) }, "sequence"},
		"sequence without one":         {"multi_ops", func(m map[string][]*record) { sequence(at(m, "multi_ops.public.t", 10), `[null,%q]`) }, "sequence"},
		"sequence of another record":   {"multi_ops", func(m map[string][]*record) { sequence(at(m, "multi_ops.public.t", 3), `[null,"1"]%.0s`) }, "sequence"},
		"id of the block": {"tx_metadata_one", func(m map[string][]*record) {
			*field(at(m, "tx_metadata_one.public.t", 2).value.value, "transaction.id") = "1:1"
		}, "transaction.id"},
		"order in the block": {"tx_metadata_one", func(m map[string][]*record) {
			*field(at(m, "tx_metadata_one.public.t", 2).value.value, "transaction.total_order") = int64(7)
		}, "total_order"},
		"ids of a mark": {"tx_metadata_one", func(m map[string][]*record) {
			*field(at(m, "tx_metadata_one.transaction", 0).value.value, "id") = "1:1"
		}, "in the key"},
	} {
		c := cases[d.on]
		ours := copyOf(t, c)
		d.damage(ours)
		found := judged(t, c, ours)
		if !strings.Contains(strings.Join(found, "\n"), d.want) {
			t.Errorf("%s: found %q, want something of %q", name, found, d.want)
		}
	}
}

// lsn and sequence change the position of a record, and its form.
func lsn(r *record, n int64) {
	source, _ := r.value.value.(*object).get("source")
	s := source.(*object)
	s.values[slices.Index(s.names, "lsn")] = n
	s.values[slices.Index(s.names, "sequence")] = fmt.Sprintf(`[null,"%d"]`, n)
}

func sequence(r *record, format string) {
	source, _ := r.value.value.(*object).get("source")
	s := source.(*object)
	s.values[slices.Index(s.names, "sequence")] = fmt.Sprintf(format, fmt.Sprint(number(s, "lsn")))
}

// TestCanonicalNotices holds that an array in Avro's other forms is noticed.
func TestCanonicalNotices(t *testing.T) {
	t.Parallel()
	const schema = `{"type":"array","items":"int"}`
	for _, c := range []struct {
		body []byte
		ok   bool
	}{
		{[]byte{4, 2, 4, 0}, true},        // a block of two
		{[]byte{3, 4, 2, 4, 0}, false},    // with its length in bytes
		{[]byte{2, 2, 2, 4, 0}, false},    // two blocks
		{[]byte{0}, true},                 // none
		{[]byte{4, 0x82, 0, 4, 0}, false}, // a number in two bytes where one does
	} {
		d, err := newDatum(schema, c.body)
		if err != nil {
			t.Fatalf("%x: %v", c.body, err)
		}
		if err := canonical(&d); (err == nil) != c.ok {
			t.Errorf("%x: %v", c.body, err)
		}
	}
}
