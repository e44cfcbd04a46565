package config

import (
	"fmt"
	"slices"
	"strings"
)

// suggestion is the end of the message about an unknown key or value: the
// nearest valid one, or all of them where none is near.
func suggestion(got string, valid []string) string {
	if len(valid) == 0 {
		return ""
	}
	best, bestDistance := "", 1<<30
	for _, v := range valid {
		d := distance(strings.ToLower(got), strings.ToLower(v))
		if d < bestDistance {
			best, bestDistance = v, d
		}
	}
	near := bestDistance <= max(2, len(got)/3) && bestDistance < len(best)
	if !near && len(got) > 2 {
		// A key that was shortened or prolonged: "partition" for "partitions_per_topic".
		for _, v := range valid {
			if strings.HasPrefix(v, got) || strings.HasPrefix(got, v) {
				best, near = v, true
				break
			}
		}
	}
	if near {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	sorted := slices.Sorted(slices.Values(valid))
	return fmt.Sprintf("; did you mean %q? Valid here: %s", best, strings.Join(sorted, ", "))
}

// distance is the number of inserted, deleted, replaced and swapped runes
// between a and b (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before := make([]int, len(y)+1) // row i-2
	last := make([]int, len(y)+1)   // row i-1
	row := make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
