package processors

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors/state"
	"github.com/tailrace/tailrace/sinks"
)

// Config is what a pipeline is made of.
type Config struct {
	Name string // of the pipeline, and of its consumer group
	// Instance and ConfigVersion go into dead letters, so that people can tell
	// who failed with what.
	Instance      string
	ConfigVersion string
	SinkKind      string // postgres

	Sink     sinks.Sink
	Outbox   sinks.Outbox
	Letters  Letters
	Control  Control // nil: nobody can command anything
	Schemas  Schemas
	Steps    []StepConfig  // in order; their names are unique
	State    *state.Memory // of a rehearsal; nil: where the protocol keeps it
	OnPoison Policy
	Retry    RetryConfig
	Circuit  CircuitConfig
	Systemic SystemicConfig

	InFlightBytes int64 // of all partitions: fetched and not committed
	Parallel      int   // batches at once
	Rate          int   // records per second of all partitions; 0: no bound
	BatchRows     int
	BatchBytes    int
	DrainTimeout  time.Duration // how long a batch under way may take when a partition is given back

	// Stateful says that steps keep state: then the partitions with one number of all
	// topics are one task, and the gate by row stands before the steps. So it is in the
	// log in any case.
	Stateful  bool
	Late      LatePolicy
	Retention time.Duration // of deleted rows' positions

	Entity *EntityConfig // of a pipeline of two stages, in the log; nil: one

	InLog *LogConfig // of the protocol in the log; nil: the protocol in the sink

	Log      *slog.Logger
	Registry prometheus.Registerer
}

// DefaultConfig is a Config with every tunable at its default.
func DefaultConfig() Config {
	return Config{
		OnPoison:      PolicyParkKey,
		Retry:         RetryConfig{Initial: 200 * time.Millisecond, Max: 30 * time.Second},
		Circuit:       CircuitConfig{Failures: 0.5, Window: 30 * time.Second, Open: 10 * time.Second},
		Systemic:      SystemicConfig{Rows: 10, Share: 0.5, Window: time.Minute},
		InFlightBytes: 64 << 20,
		Parallel:      4,
		BatchRows:     5000,
		BatchBytes:    4 << 20,
		DrainTimeout:  10 * time.Second,
		Late:          LateDeadLetter,
		Retention:     7 * 24 * time.Hour,
	}
}

// Policy is what happens to a record that cannot be applied.
type Policy string

// The policies.
const (
	PolicySkip    Policy = "skip"     // it goes to the dead-letter topic
	PolicyParkKey Policy = "park_key" // and later changes of its row are diverted behind it
	PolicyStop    Policy = "stop"     // its partition stops before it
)

// RetryConfig says how long to wait before what failed is tried again: a random
// time up to Initial, doubled with each try up to Max.
type RetryConfig struct {
	Initial, Max time.Duration
	GiveUpAfter  time.Duration // then the partition stops; 0: never
}

// Schemas finds a writer's schema by its registry id.
type Schemas interface {
	// SchemaByID is the schema's text. An error that wraps ErrUnknownSchema says
	// that the registry has no such id; any other may pass by itself.
	SchemaByID(ctx context.Context, id int) (string, error)
}

// ErrUnknownSchema says that the registry does not know a schema id.
var ErrUnknownSchema = errors.New("the registry has no schema of this id")

// Letters writes to the dead-letter topic. *kafka.DeadLetters is one.
type Letters interface {
	// Write returns when all are acknowledged; sources are the topics of the
	// pipeline.
	Write(ctx context.Context, sources []string, letters []kafka.Message) error
	// At hands the records of one partition at rising offsets to f, those that are
	// there.
	At(ctx context.Context, partition int32, offsets []int64, f func(kafka.Message) error) error
	// Read hands the records of one partition from an offset to the end to f, where
	// until is -1, else up to that offset.
	Read(ctx context.Context, partition int32, from, until int64, f func(kafka.Message) error) error
}

// Source is the log. *kafka.Consumer is one.
type Source interface {
	// Join makes this process a member of the group; Runtime is called from then
	// on. The other methods come after it.
	Join() error
	Poll(ctx context.Context) ([]kafka.Fetched, error)
	Pause(parts ...kafka.TopicPartition)
	Resume(parts ...kafka.TopicPartition)
	// Seek makes reading go on at an offset. It is not called while Poll runs, and what
	// was fetched before does not come.
	Seek(tp kafka.TopicPartition, offset int64)
	Commit(ctx context.Context, offsets map[kafka.TopicPartition]int64) error
	Ends(ctx context.Context, parts []kafka.TopicPartition) (map[kafka.TopicPartition]int64, error)
	Missing(ctx context.Context) ([]string, error)
	Leave(ctx context.Context) error
	Close()
}
