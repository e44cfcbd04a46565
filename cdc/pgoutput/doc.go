// Package pgoutput decodes the messages of PostgreSQL's built-in logical
// replication plugin, protocol versions 1 to 4 (PostgreSQL documentation,
// sections 54.5 and 54.9).
//
// It knows no connections and no tables: bytes go in, values come out that
// share memory with them. Every length is checked before it is used, so a
// message that is cut off or garbled is an *Error with its place and never a
// panic. Rows are decoded without allocating.
package pgoutput
