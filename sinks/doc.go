// Package sinks is the contract between the processor and a destination: what a
// sink promises, which errors it answers with, and what a dead letter is.
//
// Each destination has a directory of its own that imports this package;
// package processors knows the contract and no destination. To add one, read
// sink.go, then sinks/postgres, and run the suite of sinks/sinktest over it.
//
// Law 2 rests here: an input offset becomes durable together with, or after,
// every effect it caused; never before.
package sinks
