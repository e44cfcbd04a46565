// Package schema turns table rows into Debezium's Avro records and back.
//
// types.go says which Avro type a PostgreSQL type gets, modes.go what the settings
// make of it. Describe writes the schema texts, an Encoder registers them and
// compiles a Plan per table version, and a Plan turns PostgreSQL's text values into
// Avro bytes without allocating. A Reader, compiled from a writer's schema, turns
// Avro bytes back into PostgreSQL's text. Compatible judges schema changes as a
// registry does.
//
// testdata/golden has schemas and records of Debezium 3.7.0.Final, with the texts
// that PostgreSQL 17 sends for them.
package schema
