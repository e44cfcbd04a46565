package schema

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

func readGolden(t testing.TB, file string) goldenCase {
	t.Helper()
	g := goldenCase{table: &cdc.Table{Facts: true, Identity: cdc.IdentityDefault}, settings: Settings{Compat: true, MoneyDigits: 2}, instead: map[string]string{}}
	var row *goldenRow
	for line := range strings.Lines(readFile(t, file)) {
		line = strings.TrimRight(line, "\n")
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "#":
		case "set":
			g.set(t, rest)
		case "topic":
			g.topic = rest
			name := strings.SplitN(rest, ".", 3)
			g.table.Schema, g.table.Name = name[1], name[2]
		case "column", "masked", "truncated":
			c := parseColumn(t, rest)
			switch word {
			case "masked":
				c.Params = []cdc.Param{{Name: "masked", Value: "true"}}
			case "truncated":
				c.Params = []cdc.Param{{Name: "truncateLength", Value: "3"}}
			}
			g.table.Columns = append(g.table.Columns, c)
		case "keys":
			for _, k := range strings.Fields(rest) {
				i, err := strconv.Atoi(k)
				if err != nil {
					t.Fatal(err)
				}
				g.table.Key = append(g.table.Key, i)
			}
		case "key":
			g.key = rest
		case "field":
			g.fields = append(g.fields, rest)
		case "instead": // of the field before
			g.instead[g.fields[len(g.fields)-1]] = rest
		case "record":
			g.records = append(g.records, goldenRecord{op: cdc.Op(rest[0])})
		case "keybytes":
			g.records[len(g.records)-1].key = rest
		case "header":
			if err := json.Unmarshal([]byte(rest), &g.records[len(g.records)-1].header); err != nil {
				t.Fatal(err)
			}
		case "before", "after":
			r := &g.records[len(g.records)-1]
			row = &goldenRow{values: make([]cdc.Value, len(g.table.Columns))}
			if word == "before" {
				r.before = row
			} else {
				r.after = row
			}
		default:
			row.lines = append(row.lines, g.parseLine(t, row, line))
		}
	}
	return g
}

// set applies a mode.
func (g *goldenCase) set(t testing.TB, text string) {
	t.Helper()
	key, value, _ := strings.Cut(text, " ")
	if key == "money_digits" {
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Fatal(err)
		}
		g.settings.MoneyDigits = n
		return
	}
	if key == "source_types" {
		g.settings.SourceTypes = func(*cdc.Table, *cdc.Column) bool { return true }
		return
	}
	field, ok := map[string]*string{
		"decimal": &g.settings.Decimal, "time": &g.settings.Time, "binary": &g.settings.Binary, "hstore": &g.settings.Hstore,
		"interval": &g.settings.Interval, "unknown": &g.settings.Unknown, "names": &g.settings.Names, "placeholder": &g.settings.Placeholder,
	}[key]
	if !ok {
		t.Fatalf("no setting %s", key)
	}
	*field = value
}

// parseLine reads a column of a row, and puts its value into the row.
func (g *goldenCase) parseLine(t testing.TB, row *goldenRow, text string) goldenLine {
	t.Helper()
	var l goldenLine
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&l.column); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	i := slices.IndexFunc(g.table.Columns, func(c cdc.Column) bool { return c.Name == l.column })
	if i < 0 {
		t.Fatalf("no column %q", l.column)
	}
	rest := strings.TrimPrefix(text[d.InputOffset():], " ")
	if rest[0] == '"' {
		var value string
		d = json.NewDecoder(strings.NewReader(rest))
		if err := d.Decode(&value); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		row.values[i] = cdc.Value{Data: []byte(value), State: cdc.Text}
		l.text, rest = rest[:d.InputOffset()], strings.TrimPrefix(rest[d.InputOffset():], " ")
	} else {
		l.text, rest, _ = strings.Cut(rest, " ")
		state, ok := map[string]cdc.State{"null": cdc.Null, "unchanged": cdc.Unchanged, "absent": cdc.Absent}[l.text]
		if !ok {
			t.Fatalf("%q: no value %q", text, l.text)
		}
		row.values[i].State = state
	}
	var differs bool
	l.ours, l.theirs, differs = strings.Cut(rest, " not ")
	if differs {
		l.theirs, l.reason, _ = strings.Cut(l.theirs, ": ")
	}
	return l
}

// parseColumn reads "name" modifier type [notnull] [default "expression"].
func parseColumn(t testing.TB, text string) cdc.Column {
	t.Helper()
	var c cdc.Column
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&c.Name); err != nil {
		t.Fatal(err)
	}
	text, def, hasDefault := strings.Cut(text[d.InputOffset():], " default ")
	if hasDefault {
		if err := json.Unmarshal([]byte(def), &c.Default); err != nil {
			t.Fatal(err)
		}
	}
	words := strings.Fields(text)
	modifier, err := strconv.ParseInt(words[0], 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	c.Modifier = int32(modifier)
	c.NotNull = len(words) > 2
	c.Type = parseType(t, strings.ReplaceAll(words[1], "·", " "))
	return c
}

// parseType reads int4, int4[], ~citext (of an extension), comp/c and span/r (a
// composite, a range made by a user), mood{sad,ok}, and domains as
// email<varchar:24>, with ! after the name for NOT NULL.
func parseType(t testing.TB, s string) *cdc.Type {
	t.Helper()
	if elem, ok := strings.CutSuffix(s, "[]"); ok {
		return arrayOf(parseType(t, elem))
	}
	if name, kind, ok := strings.Cut(s, "/"); ok && len(kind) == 1 {
		return &cdc.Type{Schema: "public", Name: name, Kind: cdc.TypeKind(kind[0])}
	}
	if name, ok := strings.CutPrefix(s, "~"); ok {
		return &cdc.Type{Schema: "public", Name: name, Kind: cdc.KindBase}
	}
	if i := strings.IndexByte(s, '<'); i >= 0 {
		colon := strings.LastIndexByte(s, ':')
		modifier, err := strconv.ParseInt(s[colon+1:len(s)-1], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		name, notNull := strings.CutSuffix(s[:i], "!")
		return &cdc.Type{Schema: "public", Name: name, Kind: cdc.KindDomain, Base: parseType(t, s[i+1:colon]), BaseModifier: int32(modifier), NotNull: notNull}
	}
	if i := strings.IndexByte(s, '{'); i >= 0 {
		return enum(s[:i], strings.Split(s[i+1:len(s)-1], ",")...)
	}
	return base(s)
}
