package oracle

import "strings"

// What cannot be equal: the time at which a program handled a record, the version
// that it calls itself, and where a snapshot was taken, since each takes its own.
// Letter (d) of the differences that are wanted.

// volatileAlways are paths in the values of all records.
var volatileAlways = map[string]bool{
	"ts_ms": true, "ts_us": true, "ts_ns": true, "source.version": true,
}

// volatileInSnapshot are further paths in the values of snapshot records.
var volatileInSnapshot = map[string]bool{
	"source.ts_ms": true, "source.ts_us": true, "source.ts_ns": true, "source.lsn": true, "source.txId": true,
	"source.sequence": true, "source.xmin": true,
}

// volatileHeader is the header that names a run.
const volatileHeader = "__debezium.context.runId"

// ownHeader tells whether the relay writes a header beside Debezium's.
func ownHeader(name string) bool {
	return strings.HasPrefix(name, "tailrace.") || name == "traceparent" || name == "tracestate"
}
