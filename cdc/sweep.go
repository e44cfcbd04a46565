package cdc

import (
	"encoding/json"
	"errors"
	"fmt"
)

// HeaderSweep names the header of the mark that follows the snapshot of another
// epoch, in every partition of a table's topic. The mark has neither key nor
// value, as a tombstone of a table without key, so consumers of Debezium's
// records pass over it.
//
// A snapshot that is made because changes were lost has the rows that are there.
// Those that were deleted in the gap are in no record: whoever holds the table
// deletes what it last touched in an epoch before that of the mark's position.
const HeaderSweep = "tailrace.sweep"

// Sweep is the value of the header, as JSON.
type Sweep struct {
	Version    int    `json:"version"` // 1
	Name       string `json:"name"`    // of the source: the relay's name
	Database   string `json:"db"`
	Schema     string `json:"schema"`
	Table      string `json:"table"`
	Partitions int    `json:"partitions"` // of the topic: the table is whole when the mark has come in all of them
}

// ParseSweep reads the header.
func ParseSweep(text string) (Sweep, error) {
	var s Sweep
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("header %s: %w", HeaderSweep, err)
	}
	if s.Version != 1 || s.Partitions < 1 || s.Table == "" {
		return s, errors.New("header " + HeaderSweep + ": want version 1, a table and its topic's partitions")
	}
	return s, nil
}

// EpochStart is a text before that of every position of an epoch, and after
// those of all epochs before it.
func EpochStart(epoch uint32) string { return string(appendHex(nil, uint64(epoch), 8)) + "/" }
