package golden

import (
	"fmt"
	"regexp"
	"strings"
)

// volatile are the fields of a record's value (and of the key of a transaction's
// record) that differ from run to run: clocks, positions, ids. Only what stands
// in them is masked: null where Debezium has a value, or the reverse, is a
// difference. properties_test.go holds what they must say nevertheless.
var volatile = []string{
	"ts_ms", "ts_us", "ts_ns",
	"source.version",
	"source.ts_ms", "source.ts_us", "source.ts_ns",
	"source.lsn", "source.txId", "source.sequence", "source.xmin",
	"transaction.id",
}

// runID is the header with the id of a connector's start.
const runID = "__debezium.context.runId"

// uuid7 is the form of its value.
var uuid7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// masked are the paths of volatile fields in the values of a topic, which are
// the same in its keys.
func masked(topic string) []string {
	if strings.HasSuffix(topic, ".transaction") {
		return []string{"id", "ts_ms"}
	}
	return volatile
}

// transplant puts what Debezium wrote at a path where ours has a value, too.
func transplant(theirs, ours any, path string) {
	first, rest, nested := strings.Cut(path, ".")
	a, _ := theirs.(*object)
	b, _ := ours.(*object)
	if a == nil || b == nil {
		return
	}
	for i, name := range b.names {
		if name != first {
			continue
		}
		v, _ := a.get(name)
		switch {
		case nested:
			transplant(v, b.values[i], rest)
		case v != nil && b.values[i] != nil:
			b.values[i] = v
		}
	}
}

// mask does so for every volatile field of a record.
func mask(theirs, ours *record) {
	for _, path := range masked(theirs.topic) {
		if strings.HasSuffix(theirs.topic, ".transaction") {
			transplant(theirs.key.value, ours.key.value, path)
		}
		transplant(theirs.value.value, ours.value.value, path)
	}
}

// maskHeaders gives our headers as they are compared: the run's id is that of
// Debezium when it has the right form, and those of our own, which come last, are
// left out.
func maskHeaders(theirs, ours []header) (kept []header, problem string) {
	own := false
	for _, h := range ours {
		switch {
		case strings.HasPrefix(h.Name, "tailrace."):
			own = true
			continue
		case own:
			problem = fmt.Sprintf("%s comes after a header of ours", h.Name)
		case h.Name == runID:
			if !uuid7.MatchString(h.Text) {
				problem = fmt.Sprintf("%s is %q, want a UUID of version 7", h.Name, h.Text)
			}
			for _, g := range theirs {
				if g.Name == runID {
					h.Text = g.Text
				}
			}
		}
		kept = append(kept, h)
	}
	return kept, problem
}
