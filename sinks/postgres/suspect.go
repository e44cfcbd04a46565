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
		if i := slices.IndexFunc(ops, g.tooLong); i >= 0 {
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

// tooLong tells whether an operation has a value that its column, of a type with a length,
// cannot take.
func (g *group) tooLong(op *operation) bool {
	return slices.ContainsFunc(g.columns, func(c int) bool {
		v := op.row[c]
		if v.State != cdc.Text {
			return false
		}
		var p, s int
		switch cast := g.table.columns[op.shape.Columns[c].Name].declared; {
		case strings.HasPrefix(cast, "numeric("):
			_, err := fmt.Sscanf(cast, "numeric(%d,%d)", &p, &s)
			whole, _, _ := strings.Cut(strings.TrimLeft(string(v.Data), "-+0"), ".")
			return err == nil && len(whole) > p-s
		case strings.HasPrefix(cast, "character"):
			_, err := fmt.Sscanf(cast[strings.IndexByte(cast+"(", '('):], "(%d)", &p)
			return err == nil && utf8.RuneCount(v.Data) > p
		}
		return false
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
