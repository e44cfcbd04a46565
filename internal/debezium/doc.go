// Package debezium turns the configuration of a Debezium PostgreSQL connector
// into a relay.yaml that goes on where the connector stopped: Parse reads what
// was posted to Kafka Connect or its properties form, Import writes the file.
//
// One table, in option.go, names every option of Debezium 3.7 with what becomes
// of it; the reference in docs/migrating-from-debezium.md is made from it. The
// package has no state; its functions may be called at once from anywhere.
package debezium
