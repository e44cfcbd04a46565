package cdc

// Finding is one result of a check before the run: what was looked at, and what
// a person does about it.
type Finding struct {
	Level  Level  `json:"level"`
	Name   string `json:"name"`   // of the check, stable: wal_level, slot, table_key
	What   string `json:"what"`   // what was found, and where
	Remedy string `json:"remedy"` // a command or a setting; empty for info
}

// Level is how bad a finding is.
type Level string

// The levels. An error stops relay run; a warning is a risk that may be taken.
const (
	LevelError   Level = "error"
	LevelWarning Level = "warning"
	LevelInfo    Level = "info"
)

// Worst tells whether findings hold an error, and whether a warning.
func Worst(findings []Finding) (failed, warned bool) {
	for _, f := range findings {
		failed = failed || f.Level == LevelError
		warned = warned || f.Level == LevelWarning
	}
	return failed, warned
}
