// Package config reads one strict YAML file into a struct, and prints back what
// it read and what it could have read.
//
// The struct's tags are the only description of a key; parser, show and
// reference all use it:
//
//	Slots int           `yaml:"slots" default:"6" min:"1" max:"64" unit:"slots" doc:"What it is for."`
//	Mode  string        `yaml:"mode" default:"wait" enum:"wait|exit" doc:"…"`
//	URL   string        `yaml:"url" required:"true" example:"postgres://…" doc:"…"`
//	Token string        `yaml:"token" secret:"true" doc:"…"`
//	Name  string        `yaml:"slot" default:"tailrace_<name>" derive:"identifier" doc:"…"`
//	Sink  Sink          `yaml:"sink" oneof:"true" doc:"…"`
//	Parts map[string]P  `yaml:"tables" key:"table" doc:"…"`
//
// Types are text, bool, integers, floats, time.Duration (30s), [Size] (8MiB),
// anything with UnmarshalText, lists, maps with text keys, nested structs, and
// pointers to structs, which stay nil unless the file has the key. A default
// may hold <name>: the value of that top-level text key, put in after parsing.
// With derive:"identifier", what an unquoted PostgreSQL name cannot hold
// becomes an underscore.
//
// All problems of a file are reported at once as [Problems], each with line,
// column and path. ${VAR} and ${VAR:-default} are expanded after parsing, in
// scalar values only, so a value of the environment cannot add YAML; $$ is a
// dollar.
package config
