// Package rehearsal runs a pipeline on changes that a person has written down, and
// shows what it would do: what is written, what goes to the dead letters, and what
// is remembered.
//
//	table.go   a table from its definition
//	world.go   changes to records, as a relay would write them
//	sink.go    a sink in memory; apply.go how a batch becomes rows
//	play.go    the pipeline between the two
//	script.go  what happened, as lines, and how it differs from what was expected
//
// Everything between record and sink is the runtime's own, so a rehearsal decodes
// real records and passes the real gate.
package rehearsal
