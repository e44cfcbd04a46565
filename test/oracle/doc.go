// Package oracle compares the relay with Debezium itself, record for record. It
// holds tests only, and they run in `make test-real`:
//
//	make test-real ARGS='--only oracle --seeds 100'
//
// One seed makes one schema of a database: tables over all types and kinds of
// keys, and a workload of changes and definitions. Many seeds share a database,
// one running connector and one running relay, each with its own slot on it, so
// both read the same WAL. Both use the same topic prefix, each with a broker and a
// registry of its own: the records can then be compared as they are, with the
// schemas' texts, and nothing that one registers is there for the other.
//
// # What is compared
//
// Per topic the records in their order: key and value decoded with the schemas
// that they name, the text of these schemas, and the headers. Of streamed records
// even the positions and times in source must be equal, because both read one
// WAL; what is left out is in the list of volatile_test.go. A difference that is
// wanted is in the table of differences_test.go, with its reason;
// docs/comparison.md is made from that table. Any other difference fails the seed.
// The relay is restarted in between, Debezium is not: its records must not show it.
//
// # Time
//
// Debezium looks into the catalog when it reads a row, which can be long after
// the row was written, and then describes the row by what the catalog says by
// then. A comparison is exact only where that is not visible. So the workload is
// cut into phases: definitions change at the beginning of a phase only, and a
// phase begins when both have published the last row of the phase before it. What
// Debezium makes of definitions that change under a backlog depends on its speed
// and cannot be compared; the relay's own tests hold what the relay makes of it.
//
// # What is left out
//
// Values at which Debezium's task ends (NaN in a NOT NULL numeric, an unchanged
// out-of-line value of a NOT NULL column that has no placeholder) would end the
// comparison of all seeds, so no seed makes them.
package oracle
