package main

import "context"

// prepared is what a work's preparation returns.
type prepared = func(ctx context.Context, r *rig, w string) ([]contender, func(), error)

// withStage is the preparation of works over copies of one slot.
func withStage(load func(context.Context, *rig) (*stage, error), contenders func(*stage) []contender) prepared {
	return func(ctx context.Context, r *rig, _ string) ([]contender, func(), error) {
		s, err := load(ctx, r)
		if err != nil {
			if s != nil {
				s.cleanup()
			}
			return nil, nil, err
		}
		return contenders(s), s.cleanup, nil
	}
}

// behind is a load whose last mark is set when it is through.
func behind(load func(context.Context, *rig) (*stage, error)) func(context.Context, *rig) (*stage, error) {
	return func(ctx context.Context, r *rig) (*stage, error) {
		s, err := load(ctx, r)
		if err == nil {
			err = s.finish(ctx)
		}
		return s, err
	}
}

// intoSink are the contenders that read a topic into a table.
func intoSink(f *filled) []contender {
	return []contender{f.inServer(), f.processor(intoTable, "add"), f.processor(beside, "none"), f.jdbc()}
}

// withTopic is the preparation of works over one topic of Apache Kafka.
func withTopic(load func(context.Context, *rig) (*stage, error), contenders func(*filled) []contender) prepared {
	return func(ctx context.Context, r *rig, _ string) ([]contender, func(), error) {
		s, err := load(ctx, r)
		var f *filled
		if err == nil {
			f, err = s.fill(ctx)
		}
		if err != nil {
			if s != nil {
				s.cleanup()
			}
			return nil, nil, err
		}
		return contenders(f), func() { f.topics.drop(); s.cleanup() }, nil
	}
}

// Names of contenders that goals speak of.
const (
	floorReader  = "pg_recvlogical"
	count        = "decode and count"
	toEmbedded   = "embedded broker"
	toKafka      = "kafka " + exactly
	toKafkaLeast = "kafka " + atLeast
	intoTable    = "processor"
	beside       = "processor schema none"
)

func manyInserts(size int) func(context.Context, *rig) (*stage, error) {
	return func(ctx context.Context, r *rig) (*stage, error) {
		if size == 0 {
			return inserts(ctx, r, r.o.rows, 2*r.o.rows)
		}
		return inserts(ctx, r, r.o.rows, size)
	}
}

func wideChanges(ctx context.Context, r *rig) (*stage, error) {
	sql, tables := wide()
	return changes(ctx, r, r.o.rows, sql, tables)
}

func narrowChanges(ctx context.Context, r *rig) (*stage, error) {
	sql, tables := narrow()
	return changes(ctx, r, r.o.rows, sql, tables)
}

func noRows(ctx context.Context, r *rig) (*stage, error) { return newStage(ctx, r, itemsSQL, "items") }

func (s *stage) toEmbedded() contender {
	return s.relay(toEmbedded, exactly, s.rig.toEmbedded)
}

func (s *stage) toKafka(label, delivery string) contender {
	return s.relay(label, delivery, s.rig.toKafka)
}

// works are all, in the order in which they are done. The ratios of the goals are
// made from runs of one round.
func works() []work {
	return []work{
		{"stream", "single-row inserts in transactions of 100 behind a slot: read, and published to the embedded broker",
			withStage(behind(manyInserts(100)), func(s *stage) []contender {
				return []contender{s.recvlogical(), s.counting(), s.toEmbedded()}
			}), append(readGoals(), embeddedGoal())},
		{"kafka", "the same, to Apache Kafka, beside Debezium",
			withStage(behind(manyInserts(100)), func(s *stage) []contender {
				return []contender{s.recvlogical(), s.toKafka(toKafka, exactly), s.toKafka(toKafkaLeast, atLeast), s.debezium()}
			}), append(debeziumGoals(), atLeastValue("exactly_once beside at_least_once, rows/s", toKafka, toKafkaLeast, 0.85, rates))},
		{"mixed", "60 % inserts, 30 % updates, 10 % deletes over 20 tables of 12 columns, transactions of 1 to 500 rows",
			withStage(behind(wideChanges), func(s *stage) []contender {
				return []contender{s.recvlogical(), s.counting(), s.toEmbedded(), s.toKafka(toKafka, exactly), s.debezium()}
			}), append(append(readGoals(), embeddedGoal()), debeziumGoals()...)},
		{"latency", "single-row commits at a fixed rate, from when they are due to a consumer of Apache Kafka",
			withStage(noRows, func(s *stage) []contender {
				return []contender{s.relayTimely(atLeast), s.relayTimely(exactly), s.debeziumTimely()}
			}), []goal{
				within("at_least_once, p50", atLeast, 3, p50), within("at_least_once, p99", atLeast, 10, p99),
				within("exactly_once, p50", exactly, 8, p50), within("exactly_once, p99", exactly, 25, p99),
			}},
		{"large", "the inserts in one transaction",
			withStage(behind(manyInserts(0)), func(s *stage) []contender {
				return []contender{s.recvlogical(), s.counting(), s.toEmbedded()}
			}), append(readGoals(), embeddedGoal(),
				atMost("peak memory of the relay", toEmbedded, "", 100, "MiB", func(a, _ *result) float64 { return float64(a.Peak[roleClient]) / (1 << 20) }))},
		{"snapshot", "the initial snapshot of five times as many rows, records thrown away",
			withStage(func(ctx context.Context, r *rig) (*stage, error) { return full(ctx, r, 5*r.o.rows) }, func(s *stage) []contender {
				return []contender{s.copyOut(), s.snapshot()}
			}), []goal{atLeastValue("rows per CPU second of server and client, beside COPY", "snapshot, discarded", "COPY TO STDOUT", 0.7,
				func(a, b *result) float64 { return perCPU(a) / perCPU(b) })}},
		{"sink", "Kafka to PostgreSQL: upserts of so many rows", withTopic(manyInserts(100), intoSink), sinkGoals()},
		{"churn", "Kafka to PostgreSQL: 60 % inserts, 30 % updates, 10 % deletes", withTopic(narrowChanges, intoSink), sinkGoals()},
		{"process", "Kafka to Kafka: deduplicated and in order, exactly once, beside a bare loop; and fed at a fixed rate",
			withTopic(manyInserts(100), func(f *filled) []contender {
				return []contender{f.bareLoop(), f.processorToTopic(), f.processorTimely()}
			}), processGoals()},
		{"line", "PostgreSQL to Kafka to PostgreSQL at a fixed rate, from when a row is due to its commit at the end",
			withStage(noRows, func(s *stage) []contender { return []contender{s.line()} }),
			[]goal{within("p99", "relay and processor", 50, p99)}},
	}
}
