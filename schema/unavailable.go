package schema

import (
	"strings"

	"github.com/tailrace/tailrace/cdc"
)

// AppendUnavailable appends the text of the header tailrace.unavailable: the
// columns whose value the WAL did not carry, before.x or after.x, with commas
// between them. It appends nothing when every value is there.
func AppendUnavailable(dst []byte, t *cdc.Table, before, after []cdc.Value) []byte {
	start := len(dst)
	for _, side := range [...]struct {
		prefix string
		row    []cdc.Value
	}{{"before.", before}, {"after.", after}} {
		for i := range side.row {
			if s := side.row[i].State; s != cdc.Unchanged && s != cdc.Absent {
				continue
			}
			if len(dst) > start {
				dst = append(dst, ',')
			}
			dst = append(append(dst, side.prefix...), t.Columns[i].Name...)
		}
	}
	return dst
}

// MarkUnavailable applies the text of the header tailrace.unavailable to rows
// that a Reader gave: what stands there as a filler or placeholder becomes
// cdc.Absent in before and cdc.Unchanged in after. Columns that the rows do not
// have are ignored.
func MarkUnavailable(header string, before, after []cdc.Value, columns []Field) {
	for header != "" {
		var item string
		item, header, _ = strings.Cut(header, ",")
		row, state := after, cdc.Unchanged
		name, ok := strings.CutPrefix(item, "after.")
		if !ok {
			if name, ok = strings.CutPrefix(item, "before."); !ok {
				continue
			}
			row, state = before, cdc.Absent
		}
		for i := range columns {
			if columns[i].Name == name && i < len(row) {
				row[i] = cdc.Value{State: state}
			}
		}
	}
}
