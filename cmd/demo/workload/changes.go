package workload

import (
	"slices"
	"strings"
)

// change adds one change of a random kind to the transaction.
func (w *worker) change() {
	t := w.table()
	rows := w.rows[t.name]
	if len(rows.live) < 10 {
		w.insert(t, 10)
		return
	}
	n := w.IntN(100)
	if w.of.cfg.Endless && len(rows.live)*w.weights > w.quota*t.weight {
		n = 35 + w.IntN(65) // enough rows: no new ones
	}
	switch {
	case n < 35:
		w.insert(t, w.batch())
	case n < 65:
		w.update(t)
	case n < 70:
		w.updateMany(t)
	case n < 82:
		w.delete(t)
	case n < 88:
		w.changeKey(t)
	case n < 92:
		w.replace(t)
	case n < 96:
		w.revive(t)
	case n < 98:
		w.swapKeys(t)
	default:
		w.deleteMany(t)
	}
}

// batch is the number of rows of an insert: mostly few, sometimes many.
func (w *worker) batch() int {
	switch n := w.IntN(100); {
	case n < 60:
		return 1
	case n < 97:
		return 2 + w.IntN(12)
	}
	return 50 + w.IntN(200)
}

// insert adds up to n new rows in one statement, no more than are still to come.
func (w *worker) insert(t *table, n int) {
	if !w.of.cfg.Endless {
		n = min(n, w.quota-w.inserted-w.tx.inserts)
	}
	if n <= 0 {
		return
	}
	keys := make([][]string, n)
	for i := range keys {
		keys[i] = t.newKey(w)
		w.rows[t.name].insert(&w.tx, keys[i])
	}
	w.tx.inserts += n
	w.tx.undo = append(w.tx.undo, func() { w.tx.inserts -= n })
	w.tx.add(w.insertSQL(t, keys...))
}

func (w *worker) insertSQL(t *table, keys ...[]string) string {
	cols := w.columns(t)
	var b strings.Builder
	b.WriteString("INSERT INTO " + t.name + " (" + strings.Join(t.key, ", "))
	for _, c := range cols {
		b.WriteString(", " + c.name)
	}
	b.WriteString(") VALUES ")
	for i, key := range keys {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + strings.Join(key, ", "))
		for _, c := range cols {
			b.WriteString(", " + w.value(c))
		}
		b.WriteString(")")
	}
	return b.String()
}

func (w *worker) columns(t *table) []column {
	var cols []column
	for _, c := range t.columns {
		if c.use == nil || c.use(w) {
			cols = append(cols, c)
		}
	}
	return cols
}

func (w *worker) value(c column) string {
	if w.chance(c.null) {
		return "NULL"
	}
	return c.value(w.random)
}

// where names a row.
func (t *table) where(key []string) string {
	parts := make([]string, len(key))
	for i := range key {
		parts[i] = t.key[i] + " = " + key[i]
	}
	return strings.Join(parts, " AND ")
}

// update sets one to three columns of a row, sometimes to what they are.
func (w *worker) update(t *table) {
	rows := w.rows[t.name]
	if len(rows.live) == 0 {
		return
	}
	key := rows.live[w.IntN(len(rows.live))]
	w.tx.add("UPDATE " + t.name + " SET " + w.assignments(t) + " WHERE " + t.where(key))
}

func (w *worker) assignments(t *table) string {
	cols := w.columns(t)
	first := w.IntN(len(cols))
	var set []string
	for i := range min(len(cols), 1+w.IntN(3)) {
		c := cols[(first+i)%len(cols)]
		if w.chance(0.05) {
			set = append(set, c.name+" = "+c.name)
			continue
		}
		set = append(set, c.name+" = "+w.value(c))
	}
	return strings.Join(set, ", ")
}

// some are up to n of the rows, as a list for IN.
func (w *worker) some(t *table, n int) (indexes []int, list string) {
	rows := w.rows[t.name]
	seen := map[int]bool{}
	var keys []string
	for range n {
		i := w.IntN(len(rows.live))
		if seen[i] {
			continue
		}
		seen[i] = true
		indexes = append(indexes, i)
		keys = append(keys, "("+strings.Join(rows.live[i], ", ")+")")
	}
	return indexes, "(" + strings.Join(t.key, ", ") + ") IN (" + strings.Join(keys, ", ") + ")"
}

func (w *worker) updateMany(t *table) {
	_, list := w.some(t, 2+w.IntN(60))
	w.tx.add("UPDATE " + t.name + " SET " + w.assignments(t) + " WHERE " + list)
}

func (w *worker) delete(t *table) {
	rows := w.rows[t.name]
	i := w.IntN(len(rows.live))
	w.tx.add("DELETE FROM " + t.name + " WHERE " + t.where(rows.live[i]))
	rows.delete(&w.tx, i)
}

func (w *worker) deleteMany(t *table) {
	rows := w.rows[t.name]
	indexes, list := w.some(t, 2+w.IntN(min(30, len(rows.live)/3)))
	w.tx.add("DELETE FROM " + t.name + " WHERE " + list)
	// From the highest index down, for a deletion moves the last row to its place.
	slices.SortFunc(indexes, func(a, b int) int { return b - a })
	for _, i := range indexes {
		rows.delete(&w.tx, i)
	}
}

// changeKey moves a row to a new key.
func (w *worker) changeKey(t *table) {
	rows := w.rows[t.name]
	i := w.IntN(len(rows.live))
	key := t.newKey(w)
	w.tx.add(w.changeKeySQL(t, rows.live[i], key))
	rows.rename(&w.tx, i, key)
}

func (w *worker) changeKeySQL(t *table, from, to []string) string {
	var set []string
	for i, c := range t.key {
		set = append(set, c+" = "+to[i])
	}
	if !t.full {
		for _, c := range t.columns {
			if slices.Contains(t.large, c.name) {
				set = append(set, c.name+" = "+w.value(c))
			}
		}
	}
	return "UPDATE " + t.name + " SET " + strings.Join(set, ", ") + " WHERE " + t.where(from)
}

// replace deletes a row and inserts another one under its key.
func (w *worker) replace(t *table) {
	rows := w.rows[t.name]
	key := rows.live[w.IntN(len(rows.live))]
	w.tx.add("DELETE FROM " + t.name + " WHERE " + t.where(key))
	w.tx.add(w.insertSQL(t, key))
}

// revive inserts a row under the key of one that was deleted before.
func (w *worker) revive(t *table) {
	rows := w.rows[t.name]
	if len(rows.dead) == 0 {
		w.update(t)
		return
	}
	key := rows.revive(&w.tx, w.IntN(len(rows.dead)))
	w.tx.add(w.insertSQL(t, key))
}

// swapKeys lets two rows change their keys, by way of a third.
func (w *worker) swapKeys(t *table) {
	rows := w.rows[t.name]
	a, b := w.IntN(len(rows.live)), w.IntN(len(rows.live))
	if a == b {
		w.update(t)
		return
	}
	ka, kb, other := rows.live[a], rows.live[b], t.newKey(w)
	w.tx.add(w.changeKeySQL(t, ka, other))
	w.tx.add(w.changeKeySQL(t, kb, ka))
	w.tx.add(w.changeKeySQL(t, other, kb))
}
