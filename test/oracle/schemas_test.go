package oracle

import (
	"regexp"
	"slices"
	"strings"
)

// schemaStep looks at two texts of a schema where they begin to differ. It gives
// the texts without what it knows to differ there, and false when it knows
// nothing.
type schemaStep func(d *disparity, at int, ours, theirs string) (string, string, bool)

// explainSchema gives the rows by which all differences of two schemas are
// explained, and none if there is one more.
func explainSchema(d *disparity, list []*wanted) []*wanted {
	if d.ours == nil || d.theirs == nil {
		return nil
	}
	ours, theirs := d.ours.value, d.theirs.value
	if d.part == "key schema" {
		ours, theirs = d.ours.key, d.theirs.key
	}
	a, b := ours.schema, theirs.schema
	var used []*wanted
	for a != b {
		i := slices.IndexFunc(list, func(w *wanted) bool {
			if w.inSchema == nil {
				return false
			}
			x, y, ok := w.inSchema(d, firstDifference(a, b), a, b)
			if ok {
				a, b = x, y
			}
			return ok
		})
		if i < 0 {
			return nil
		}
		used = append(used, list[i])
	}
	return used
}

func firstDifference(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return i
}

// nullableItems takes it that items are nullable in ours only.
func nullableItems(_ *disparity, at int, ours, theirs string) (string, string, bool) {
	const nullable = `["null",`
	if !strings.HasSuffix(ours[:at], `"items":`) || !strings.HasPrefix(ours[at:], nullable) {
		return "", "", false
	}
	depth, quoted := 0, false
	for i := at; i < len(ours); i++ {
		switch c := ours[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return ours[:at] + ours[at+len(nullable):i] + ours[i+1:], theirs, true
			}
		}
	}
	return "", "", false
}

// labels takes it that one side's list of an enum's labels has some of the
// other's.
func labels(_ *disparity, at int, ours, theirs string) (string, string, bool) {
	const allowed = `"allowed":"`
	start := strings.LastIndex(ours[:at], allowed)
	if start < 0 || strings.Contains(ours[start+len(allowed):at], `"`) {
		return "", "", false
	}
	start += len(allowed)
	a, restA, ok1 := strings.Cut(ours[start:], `"`)
	b, restB, ok2 := strings.Cut(theirs[start:], `"`)
	if !ok1 || !ok2 || !someOf(strings.Split(a, ","), strings.Split(b, ",")) && !someOf(strings.Split(b, ","), strings.Split(a, ",")) {
		return "", "", false
	}
	return ours[:start] + "…\"" + restA, theirs[:start] + "…\"" + restB, true
}

// someOf tells whether the items of a stand in b in the same order.
func someOf(a, b []string) bool {
	for _, x := range a {
		i := slices.Index(b, x)
		if i < 0 {
			return false
		}
		b = b[i+1:]
	}
	return true
}

// generatedColumn is the field of a generated column, with the comma that a list
// has beside it.
var generatedColumn = regexp.MustCompile(`\{"name":"gen_int4","type":\["null",(?:"int"|\{"type":"int","connect\.parameters":\{[^}]*\}\})\],"default":null\},?`)

// generatedField takes it that a snapshot's schema has a generated column in
// Debezium's only.
func generatedField(d *disparity, at int, ours, theirs string) (string, string, bool) {
	if !d.theirs.snapshot() {
		return "", "", false
	}
	for _, m := range generatedColumn.FindAllStringIndex(theirs, -1) {
		start, end := m[0], m[1]
		if !strings.HasSuffix(theirs[start:end], ",") { // the last of its list
			start--
		}
		if start <= at && at < end {
			return ours, theirs[:start] + theirs[end:], true
		}
	}
	return "", "", false
}

// freeNumeric takes it that a snapshot's schema tells nothing of the digits of a
// numeric that has no precision, in Debezium's only.
func freeNumeric(d *disparity, at int, ours, theirs string) (string, string, bool) {
	const known, unknown = `"__debezium.source.column.length":"131089","__debezium.source.column.scale":"0"`, `"__debezium.source.column.length":"0"`
	start := strings.LastIndex(ours[:at], `"__debezium.source.column.length"`)
	if start < 0 || !d.theirs.snapshot() || !strings.HasPrefix(ours[start:], known) || !strings.HasPrefix(theirs[start:], unknown) {
		return "", "", false
	}
	return ours[:start] + ours[start+len(known):], theirs[:start] + theirs[start+len(unknown):], true
}

var sourceParams = regexp.MustCompile(`^"connect\.parameters":\{("__debezium\.source\.column\.[a-z]+":"[^"]*",?)+\}`)

// hashedField takes it that Debezium tells the source type of a column in whose
// place ours has a hash.
func hashedField(_ *disparity, at int, ours, theirs string) (string, string, bool) {
	const masked = `"connect.parameters":{"masked":"true"}`
	start := strings.LastIndex(ours[:at], `"connect.parameters":{`)
	if start < 0 || !strings.HasPrefix(ours[start:], masked) {
		return "", "", false
	}
	name := strings.LastIndex(ours[:start], `"name":"`)
	told := sourceParams.FindString(theirs[start:])
	if name < 0 || told == "" || !hashedName.MatchString("."+ours[name+len(`"name":"`):start]) {
		return "", "", false
	}
	return ours[:start] + ours[start+len(masked):], theirs[:start] + theirs[start+len(told):], true
}
