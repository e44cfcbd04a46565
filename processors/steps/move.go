package steps

import (
	"fmt"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// A step that gives rows another key, or another table by their columns, has to
// see when an update moves a row: the target row that it leaves must go. It becomes
// two changes, as the relay makes two of an UPDATE of the primary key: d of the old
// target row, c of the new one. They share the position, since they are of
// different rows.
//
// What can go wrong:
//
//   - the record does not carry the old values: nobody knows which row is left, and
//     writing the new one alone would leave two. The record is an error;
//   - two source rows with one target row: their changes are ordered by position,
//     and a delete of one would delete the other. The new key has to identify a row
//     as the old one does; that cannot be seen here.

// moved hands an update that moves its row on as two changes. old is what is left
// of the update's old row behind the step, new what the update itself became.
func moved(c *processors.Change, old processors.Row, from, to *sinks.Origin, emit processors.Emit) error {
	gone := *c
	gone.Op, gone.Before, gone.After, gone.Target = cdc.OpDelete, old, processors.Row{}, from
	c.Op, c.Before, c.Target = cdc.OpCreate, processors.Row{}, to
	if err := emit(&gone); err != nil {
		return err
	}
	return emit(c)
}

// unknownOld is the error of an update, or a delete, whose old target row cannot be
// told.
func unknownOld(what, column string) error {
	return &sinks.RecordError{
		Class:  sinks.ClassMapping,
		Reason: fmt.Sprintf("%s depends on column %q, and the record does not carry its old value: which row of the target it leaves is not known", what, column),
		Next:   "ALTER TABLE … REPLICA IDENTITY FULL at the source",
	}
}

// differs tells lint that a program reads the row before the change.
func differs(p *program, path string) Faults {
	if !p.old {
		return nil
	}
	return Faults{needsDifferences(path, "")}
}

// needsDifferences is the warning that a step compares with the row before the
// change.
func needsDifferences(path, what string) Fault {
	return Fault{Path: path, Offset: -1, Warning: true, Differences: true, Message: what + "reads the row before the change, which needs REPLICA IDENTITY FULL at the source"}
}
