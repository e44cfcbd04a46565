package schema

import (
	"strings"

	"github.com/tailrace/tailrace/cdc"
)

// MarkUnavailable applies the text of the header tailrace.unavailable (see
// cdc.AppendUnavailable) to rows that a Reader gave: what stands there as a filler
// or placeholder becomes cdc.Absent in before and cdc.Unchanged in after. Columns
// that the rows do not have are ignored. A column's name may hold commas.
func MarkUnavailable(header string, before, after []cdc.Value, columns []Field) {
	list := "," + header + ","
	for i := range columns {
		if i < len(before) && strings.Contains(list, ",before."+columns[i].Name+",") {
			before[i] = cdc.Value{State: cdc.Absent}
		}
		if i < len(after) && strings.Contains(list, ",after."+columns[i].Name+",") {
			after[i] = cdc.Value{State: cdc.Unchanged}
		}
	}
}
