package workload

import (
	"encoding/json"
	"strings"
)

// json is a text that keeps its spaces, its order and its repeated names.
func (r *random) json() string {
	return quote(r.document(2, []string{",", ", ", " ,\n"}[r.IntN(3)]))
}

func (r *random) jsonb() string { return quote(r.document(2, ",")) }

func (r *random) document(depth int, comma string) string {
	kind := r.IntN(7)
	if depth == 0 {
		kind = r.IntN(5)
	}
	switch kind {
	case 0:
		return []string{"true", "false", "null"}[r.IntN(3)]
	case 1:
		return r.digits(1) + "." + r.digits(1+r.IntN(20))
	case 2:
		return "-1" + r.digits(r.IntN(25))
	case 3, 4:
		return jsonString(r.words())
	case 5:
		items := make([]string, r.IntN(4))
		for i := range items {
			items[i] = r.document(depth-1, comma)
		}
		return "[" + strings.Join(items, comma) + "]"
	}
	items := make([]string, r.IntN(4))
	for i := range items {
		items[i] = jsonString([]string{"b", "a", "long name", "a", ""}[r.IntN(5)]) + ":" + r.document(depth-1, comma)
	}
	return "{" + strings.Join(items, comma) + "}"
}

func jsonString(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}
