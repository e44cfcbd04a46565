package steps

import (
	"fmt"
	"slices"
	"strings"
)

// near is the end of a message about an unknown name: the nearest that exists, or
// all of them when they are few.
func near(got string, valid []string) string {
	best, least := "", 3
	for _, v := range valid {
		if d := distance(strings.ToLower(got), strings.ToLower(v)); d < least && d < len(v) {
			best, least = v, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %s?", best)
	case len(valid) == 0:
		return ""
	case len(valid) <= 12:
		return "; there are: " + strings.Join(valid, ", ")
	}
	sorted := slices.Sorted(slices.Values(valid))
	return "; there are: " + strings.Join(sorted[:12], ", ") + " …"
}

// distance is the number of inserted, deleted and replaced bytes between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
