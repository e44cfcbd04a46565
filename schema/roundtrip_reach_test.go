package schema

import (
	"slices"
	"testing"

	"github.com/tailrace/tailrace/cdc"
)

// A type or a form that is added has to be fuzzed too.
func TestRoundTripReachesEveryTypeAndForm(t *testing.T) {
	t.Parallel()
	var all family
	for _, f := range []func(testing.TB) family{
		numericFamily, moneyFamily, numbersFamily, dateFamily, timeFamily, timestampFamily, timestamptzFamily, timetzFamily, intervalFamily,
		textFamily, byteaFamily, enumFamily, bitsFamily, hstoreFamily, arrayFamily, nestedFamily, geometryFamily, vectorFamily,
	} {
		all = append(all, f(t)...)
	}
	var types, arrays []string
	var reached [forms]bool
	for _, c := range all {
		types = append(types, c.typ.Name)
		if c.typ.Kind == cdc.KindArray {
			arrays = append(arrays, c.typ.Elem.Name)
		}
		for m := c.plan.fields[0].mapping; m != nil; m = m.elem {
			reached[m.form] = true
		}
	}
	for _, table := range []map[string]rule{builtin, extensions} {
		for name, r := range table {
			if !slices.Contains(types, name) {
				t.Errorf("no round trip has a column of %s", name)
			}
			if r.array != noArray && !slices.Contains(arrays, name) {
				t.Errorf("no round trip has an array of %s", name)
			}
		}
	}
	for f, ok := range reached {
		if !ok {
			t.Errorf("no round trip has form %d (%+v)", f, formShapes[f])
		}
	}
}
