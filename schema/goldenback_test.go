package schema

import (
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// otherText are the forms that a reader gives in a text that is not the column's.
var otherText = map[form]bool{
	formBit: true, formHstore: true, formHstoreMap: true, formBase64: true, formBase64URL: true, formHex: true, formInt2Vector: true, formOIDVector: true,
	formMoney: true, formMoneyText: true, formMoneyReal: true,
}

// TestGoldenRecordsReadBack: what a reader makes of Debezium's bytes is PostgreSQL's
// text of the same value: it encodes to the same bytes.
func TestGoldenRecordsReadBack(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, file := range files {
		g := readGolden(t, file)
		p := mustPlan(t, g.settings, g.table, g.topic)
		r, err := NewReader(p.ValueSchema())
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range g.records {
			if record.after == nil {
				continue
			}
			for k, line := range record.after.lines {
				f := &p.fields[k]
				m := f.mapping
				semicolons := m.elem != nil && m.delim != ',' // the reader's lists are of texts, with commas
				if m.elem != nil {
					m = m.elem
				}
				avro, err := hex.DecodeString(line.ours)
				if err != nil || semicolons || otherText[m.form] || m.raw || record.after.values[f.column].State != cdc.Text {
					continue
				}
				c := newCursor(avro)
				r.arena = r.arena[:0]
				v := r.readValue(&c, r.row.fields[k].node)
				if err := c.finish(); err != nil {
					t.Fatalf("%s: column %q: %v", file, line.column, err)
				}
				v.Data = wordsOfDecimals(m, v.Data)
				if again := outcomeOf(p, f, v); again != line.ours {
					t.Errorf("%s: column %q, %.80s is read as %.200q, which is\n%.200s, not\n%.200s", file, line.column, line.text, v.Data, again, line.ours)
				}
				read++
			}
		}
	}
	if read < 5000 {
		t.Errorf("only %d values were read", read)
	}
}

// wordsOfDecimals are PostgreSQL's for what Debezium's text has others.
func wordsOfDecimals(m *mapping, text []byte) []byte {
	if m.form != formDecimalText {
		return text
	}
	return []byte(strings.NewReplacer("NAN", "NaN", positiveInfinity, "Infinity", negativeInfinity, "-Infinity").Replace(string(text)))
}
