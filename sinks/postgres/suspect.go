package postgres

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailrace/tailrace/cdc"
)

// suspect is the operation whose values the server's own text names, as "Failing row
// contains (7, paid, …)", "Key (id)=(7) already exists." or "invalid input syntax for type
// integer: "x"": the one with the most of its columns in it. -1 when there is none, or more
// than one. It is no more than a guess of where to look first: values can repeat, and the
// text depends on the server's language and version.
func suspect(pg *pgconn.PgError, g *group, ops []*operation) int {
	if pg.Code == "22001" || pg.Code == "22003" { // these say no more than the length
		if i := slices.IndexFunc(ops, g.lengths().exceeded); i >= 0 {
			return i
		}
	}
	text := pg.Detail + "\n" + pg.Message + "\n"
	best, most, tied := -1, 0, false
	for i, op := range ops {
		n := 0
		for _, v := range op.row {
			if v.State == cdc.Text && len(v.Data) > 0 && len(v.Data) <= suspectBytes && named(text, string(v.Data)) {
				n++
			}
		}
		switch {
		case n > most:
			best, most, tied = i, n, false
		case n == most:
			tied = true
		}
	}
	if tied {
		return -1
	}
	return best
}

// length is what a column of a type with a length takes.
type length struct {
	column int // of the shape
	digits bool
	most   int // characters, or digits before the point
}

type lengths []length

// lengths are those of the columns that a statement of the group writes.
func (g *group) lengths() (out lengths) {
	for _, c := range g.columns {
		var p, s int
		switch declared := g.table.columns[g.ops[0].shape.Columns[c].Name].declared; {
		case strings.HasPrefix(declared, "numeric("):
			if _, err := fmt.Sscanf(declared, "numeric(%d,%d)", &p, &s); err == nil {
				out = append(out, length{c, true, p - s})
			}
		case strings.HasPrefix(declared, "character"):
			if _, err := fmt.Sscanf(declared[strings.IndexByte(declared+"(", '('):], "(%d)", &p); err == nil {
				out = append(out, length{c, false, p})
			}
		}
	}
	return out
}

// exceeded tells whether an operation has a value that its column cannot take.
func (ls lengths) exceeded(op *operation) bool {
	return slices.ContainsFunc(ls, func(l length) bool {
		v := op.row[l.column]
		if v.State != cdc.Text {
			return false
		}
		if l.digits {
			whole, _, _ := strings.Cut(strings.TrimLeft(string(v.Data), "-+0"), ".")
			return len(whole) > l.most
		}
		return utf8.RuneCount(v.Data) > l.most
	})
}

// suspectBytes is how much of a value the server shows.
const suspectBytes = 64

// named tells whether a value stands in a list or in quotes.
func named(text, value string) bool {
	for {
		at := strings.Index(text, value)
		if at < 0 {
			return false
		}
		end := at + len(value)
		if at > 0 && strings.IndexByte(`( "`, text[at-1]) >= 0 && end < len(text) && strings.IndexByte(`,)"`, text[end]) >= 0 {
			return true
		}
		text = text[at+1:]
	}
}
