// Package processors runs a pipeline: records from the log, through steps and the
// gate, into a sink.
//
//	runtime.go     Run: the group, the poll loop, the owners, the lazy commits
//	assign.go      taking partitions over and giving them back
//	partition.go   the owner of one partition: one goroutine, all its bookkeeping
//	queue.go       what was fetched and is not committed yet
//	decode.go      a record to a change
//	step.go        the contract of a step; change.go, row.go what it sees
//	line.go        the steps of a partition; output.go what they give the sink
//	gate.go        what stands before everything else: parked rows, faults
//	commit.go      how a batch commits; its crash table
//	retry.go       what is tried again, and after how long
//	circuit.go     the circuit to the sink, and the rate limit
//	faults.go      when faults of records are no record's fault
//	outbox.go      dead letters from the sink to their topic
//	control.go     commands about dead letters, and their results
//	obey.go        how an owner carries them out
//	letter.go      a dead letter as its headers describe it
//	rehearse.go    a pipeline without a log
//	status.go      what /status, /readyz and the metrics say
//
// One owner goroutine has all of a partition: queue, claim, offsets, parked
// rows. Nothing of a partition is shared, so nothing of it is locked, except
// what status reads. The poll loop never waits for a sink: it hands over and
// pauses a partition whose queue is full.
//
// Promises, per partition:
//
//  1. Records are taken in the log's order; a record's effects, its dead letter
//     and the offset behind it become durable in one transaction of the sink.
//  2. The sink's offset decides where reading begins. The group's own offset
//     follows it and is for tools.
//  3. Nothing is dropped: a record is applied, is a duplicate or stale by its
//     row's position, is filtered and counted, stands in the dead-letter topic,
//     or the partition stops and says why.
//
// The only commit protocol so far is the one "in the sink". The other two get
// their place beside commit.go, durable stores in package state. Package steps has
// the steps that a configuration can name.
package processors
