// Package ops is what an operator meets of a program: its log, metrics, health
// and status over HTTP, signals, exit codes, version and printed output.
//
// Nothing here is global but the version, which the linker sets. Loggers and
// registries are made once in main and handed to the parts.
package ops
