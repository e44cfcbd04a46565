// Package postgres writes row changes into PostgreSQL, in the same transaction
// as the offsets that they came from.
//
//	config.go      what can be configured
//	sink.go        the Sink, its pool, one transaction from begin to commit
//	state.go       the tables of the state schema; claim and reclaim
//	coalesce.go    a batch of changes to one operation per row
//	statements.go  the SQL of an operation, guarded by position
//	apply.go       running operations: all at once, or bisected after an error
//	verdict.go     what became of rows that a statement passed over
//	target.go      target tables as they are in the catalog, and DDL
//	types.go       a column's type in PostgreSQL, and what it may go into
//	params.go      arrays of text and bytea in binary
//	outbox.go      dead letters and parked markers
//	failure.go     SQLSTATE to the error taxonomy of package sinks
//
// A row's position is kept beside the row: in the columns _tailrace_gen and
// _tailrace_pos of a table that has them (schema: add makes them), in the side
// table tailrace.versions for any other. A deleted row leaves its position in
// tailrace.tombstones until its retention ends, or a late update would bring it
// back.
//
// A table without key is appended to, keyed by _tailrace_pos: a repeated insert
// changes nothing. Updates and deletes of such a table name no row and are
// refused as records.
package postgres
