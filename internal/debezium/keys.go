package debezium

import "strings"

// tableKey is one entry of message.key.columns.
type tableKey struct {
	table   *expr
	columns []string
}

// readKeys reads table:column,column;table:column. Debezium collects the columns
// of all entries that fit a table, in their order; one that does not exist there
// is left out.
func readKeys(d *draft, s setting) {
	var keys []tableKey
	for _, entry := range strings.Split(s.value, ";") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		one := setting{name: s.name, value: entry}
		table, columns, ok := strings.Cut(entry, ":")
		if !ok {
			d.unreadable(one, "table:column,column")
			continue
		}
		e := d.pattern(one, strings.TrimSpace(table))
		if e == nil {
			continue
		}
		k := tableKey{table: e}
		for _, c := range strings.Split(columns, ",") {
			ce := d.pattern(one, strings.TrimSpace(c))
			if ce == nil {
				continue
			}
			name, ok := columnName(ce)
			if !ok {
				d.missing(one, "the columns of a key are named here, not matched; write out the names for "+strings.TrimSpace(c))
				continue
			}
			k.columns = append(k.columns, name)
		}
		if len(k.columns) > 0 {
			keys = append(keys, k)
		}
	}
	d.writeKeys(s, keys)
}

// columnName is the one name that e matches, capitals as they are written.
func columnName(e *expr) (string, bool) {
	var b strings.Builder
	for _, c := range e.subs {
		if c.kind != character {
			return "", false
		}
		b.WriteRune(c.char)
	}
	return b.String(), e.kind == sequence && b.Len() > 0
}

func (d *draft) writeKeys(s setting, keys []tableKey) {
	for i, k := range keys {
		name, literal := k.table.literal(1)
		key := d.key("tables.overrides").at(k.table.ours(1), "key")
		for j, other := range keys {
			switch {
			case j == i:
			case literal && other.table.matches(name):
				// The entry for the one table wins here, so that it has to hold them all.
				if j < i {
					for _, c := range other.columns {
						key.add(quote(c))
					}
				}
			case j < i && !literal && !apart(k.table, other.table) && k.table.ours(1) != other.table.ours(1):
				d.missing(setting{name: s.name, value: s.value}, "more than one pattern can fit one table, and Debezium then takes the columns of all; name the tables")
			}
		}
		for _, c := range k.columns {
			key.add(quote(c))
		}
		if literal {
			for j := i + 1; j < len(keys); j++ {
				if keys[j].table.matches(name) {
					for _, c := range keys[j].columns {
						key.add(quote(c))
					}
				}
			}
		}
	}
	if len(keys) > 0 {
		d.ignoresCase(s)
	}
}

// apart tells whether two patterns certainly fit no table together: both end in
// a table's name, and these differ, or both begin with a schema's.
func apart(a, b *expr) bool {
	ac, aok := a.cutTable()
	bc, bok := b.cutTable()
	if !aok || !bok {
		return false
	}
	for _, x := range ac {
		for _, y := range bc {
			xl, xok := x.left.literal(0)
			yl, yok := y.left.literal(0)
			xr, xrok := x.right.literal(0)
			yr, yrok := y.right.literal(0)
			if !(xok && yok && xl != yl) && !(xrok && yrok && xr != yr) {
				return false
			}
		}
	}
	return true
}
