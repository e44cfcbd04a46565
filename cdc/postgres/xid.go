package postgres

// xid is a transaction id, 32 bits wide as the server counts: they are ordered
// modulo 2^32. 0 stands for long ago.
type xid uint32

// xidOf is the SQL of the transaction that wrote a catalog row: 0 for rows of
// initdb, and for those that are older than half of the range of ids.
func xidOf(xmin string) string {
	return "CASE WHEN pg_catalog.age(" + xmin + ") >= 0 AND " + xmin + "::text::bigint >= 3 THEN " + xmin + "::text::bigint ELSE 0 END"
}

// after tells whether x was given out after y. Nothing is after long ago's 0 but
// what is known.
//
// A catalog row written by x, and a row of a user's table written by y: if x is
// not after y, the catalog's row is the older one, or both are of transactions
// that ran at the same time.
func (x xid) after(y xid) bool { return x != 0 && int32(x-y) > 0 }

// later is the one that was given out last.
func later(x, y xid) xid {
	if y == 0 || x.after(y) {
		return x
	}
	return y
}
