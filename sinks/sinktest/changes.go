package sinktest

import (
	"strconv"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/sinks"
)

// Items is the table of the suite: items(id integer key, name text, note text,
// amount integer).
var Items = &sinks.Shape{
	Columns: []sinks.Column{
		{Name: "id", Type: sinks.Int32},
		{Name: "name", Type: sinks.Text},
		{Name: "note", Type: sinks.Text},
		{Name: "amount", Type: sinks.Int32},
	},
	Key: []int{0},
}

// Origin is where the suite's rows come from.
var Origin = &sinks.Origin{Topic: "shop.public.items", Name: "shop", Database: "shop", Schema: "public", Table: "items"}

// At is position n of the suite's source.
func At(n int) cdc.Position { return cdc.Position{Epoch: 1, LSN: cdc.LSN(n), Ordinal: 1} }

// Row is a row of Items as it stands in a destination.
type Row struct{ Name, Note, Amount string }

// Put is a change that carries the whole row id.
func Put(n, id int, r Row) *sinks.Change {
	return change(n, cdc.OpUpdate, id, text(r.Name), text(r.Note), text(r.Amount))
}

// PutName is a change of row id that carries its name and its amount, and says
// of the note that it is as it was.
func PutName(n, id int, name, amount string) *sinks.Change {
	return change(n, cdc.OpUpdate, id, text(name), cdc.Value{State: cdc.Unchanged}, text(amount))
}

// Delete removes row id.
func Delete(n, id int) *sinks.Change {
	gone := cdc.Value{State: cdc.Absent}
	return change(n, cdc.OpDelete, id, gone, gone, gone)
}

// Poison is a change of row id that every destination with types refuses: its
// amount does not fit.
func Poison(n, id int) *sinks.Change {
	return Put(n, id, Row{"poison", "poison", "99999999999"})
}

func change(n int, op cdc.Op, id int, rest ...cdc.Value) *sinks.Change {
	key := text(strconv.Itoa(id))
	return &sinks.Change{Origin: Origin, Op: op, Position: At(n), Pos: At(n).String(), Shape: Items,
		Row: append([]cdc.Value{key}, rest...), Key: sinks.RowKey([]cdc.Value{key})}
}

func text(s string) cdc.Value { return cdc.Value{State: cdc.Text, Data: []byte(s)} }
