// Package clients holds tests in which programs of other languages read what the
// relay writes: Python by confluent-kafka, JavaScript by kafkajs, Java by
// Apicurio's deserializer, and Debezium's JDBC sink in Kafka Connect. What they
// have read must be the rows of the table.
//
// `make test-real` runs them, against Apache Kafka and the Apicurio registry. Each
// fetches its libraries into the cache folder, and is skipped with the reason if
// that cannot be done.
package clients
