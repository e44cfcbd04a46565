// Package kafka makes records of the log of a pipeline's changes: what the protocol
// in the log writes (processors/inlog.go), in the transaction that has the offsets
// and the state as well.
//
// A change that no step has touched leaves with the very bytes it came with. Any
// other gets an envelope of its own, as a relay writes it, under a schema that is
// registered for the output topic. The record key is the input's wherever the row's
// key is; so all records of a row have the same key bytes, and a compacted topic
// keeps the last of them. Behind a delete stands its tombstone.
package kafka
