// Package kafka is the durable log: producer, consumer, transactions and topics.
// It is the only importer of franz-go.
package kafka
