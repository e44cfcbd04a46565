package schema

import (
	"strings"
	"testing"
)

func compatRecord(fields string) string {
	return `{"type":"record","name":"r","namespace":"a.b","fields":[` + fields + `]}`
}

func TestCompatibleFollowsTheLevel(t *testing.T) {
	t.Parallel()
	const id = `{"name":"id","type":"int"}`
	base := compatRecord(id)
	withDefault := compatRecord(id + `,{"name":"n","type":["null","int"],"default":null}`)
	noDefault := compatRecord(id + `,{"name":"n","type":["null","int"]}`)
	long := compatRecord(`{"name":"id","type":"long"}`)
	decimal := func(p, s string) string {
		return compatRecord(`{"name":"d","type":{"type":"bytes","scale":` + s + `,"precision":` + p + `,"logicalType":"decimal"}}`)
	}
	tests := []struct {
		name, level, next string
		old               []string
		want              bool
	}{
		{"first version", "BACKWARD", base, nil, true},
		{"none allows anything", "NONE", long, []string{base}, true},
		{"added with default", "FULL", withDefault, []string{base}, true},
		{"added nullable without default", "BACKWARD", noDefault, []string{base}, false},
		{"added nullable without default, forward", "FORWARD", noDefault, []string{base}, true},
		{"dropped without default", "FORWARD", base, []string{noDefault}, false},
		{"dropped without default, backward", "BACKWARD", base, []string{noDefault}, true},
		{"int to long reads", "BACKWARD", long, []string{base}, true},
		{"long to int does not", "FORWARD", long, []string{base}, false},
		{"only the last counts", "BACKWARD", base, []string{long, base}, true},
		{"transitive looks at all", "BACKWARD_TRANSITIVE", base, []string{long, base}, false},
		{"widened to nullable", "BACKWARD", compatRecord(`{"name":"id","type":["null","int"],"default":null}`), []string{base}, true},
		{"widened to nullable, forward", "FORWARD", compatRecord(`{"name":"id","type":["null","int"],"default":null}`), []string{base}, false},
		{"precision may grow", "FULL", decimal("12", "2"), []string{decimal("10", "2")}, true},
		{"scale may not change", "BACKWARD", decimal("10", "3"), []string{decimal("10", "2")}, false},
		{"scale of a negative one", "FULL", decimal("3", "2046"), []string{decimal("3", "2046")}, true},
		{"default NaN", "FULL", compatRecord(id + `,{"name":"f","type":["double","null"],"default":"NaN"}`), []string{base}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, messages, err := Compatible(test.level, test.next, test.old)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want || got != (len(messages) == 0) {
				t.Errorf("got %v %q, want %v", got, messages, test.want)
			}
		})
	}
}

func TestCompatibleRefusesBadArguments(t *testing.T) {
	t.Parallel()
	good := compatRecord(`{"name":"id","type":"int"}`)
	for _, test := range []struct{ level, next, old, want string }{
		{"SIDEWAYS", good, good, "unknown compatibility level"},
		{"NONE_TRANSITIVE", good, good, "unknown compatibility level"},
		{"FULL", `{"type":"record"`, good, "new schema: not JSON"},
		{"FULL", good + "x", good, "new schema: not JSON"},
		{"FULL", `{"type":"strong"}`, good, "new schema"},
		{"FULL", good, `"strong"`, "old schema 1"},
	} {
		_, _, err := Compatible(test.level, test.next, []string{test.old})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.level, err, test.want)
		}
	}
}
