// Package cdc is the vocabulary of change data capture and the relay's loop.
//
// Everything else rests on it, and it imports the standard library only. A
// source (cdc/postgres) yields events, an encoder (schema) turns rows into
// bytes, and a log (kafka) makes them durable; the loop in relay.go joins the
// three and progress.go decides which LSN may be confirmed.
//
// Law 1: an LSN is confirmed to PostgreSQL only when every transaction whose
// commit record starts before it is durable in the log.
package cdc
