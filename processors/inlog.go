package processors

// How a batch commits: the protocol "in the log", from topics to topics.
//
//	poll → decode → gate by row → steps → one Kafka transaction of the session:
//	    outputs, dead letters, the changelog of the state, the group's offsets
//	→ EndTxn → the overlay becomes the state
//
// What a crash leaves at each point, and the test that makes it so:
//
//	killed after                    log         state            on restart
//	a chunk is sent, others of the  aborted     overlay dropped  the batch again, once visible           TestCrashInTheLogARoundIsSentInPart
//	round are not made yet
//	produce, before EndTxn          aborted     overlay dropped  the batch again, once visible           TestCrashInTheLogProduceBeforeEndTxn
//	EndTxn unknown                  either      overlay dropped  state is rebuilt from the committed     TestCrashInTheLogEndTxnUnknown
//	                                                             changelog, then the offset decides
//	EndTxn, before the overlay      committed   local behind     the changelog's suffix is read          TestCrashInTheLogEndTxnBeforeTheOverlayIsApplied
//	is applied
//
// A session is one member of the group with one transactional id. There are several
// in a process, so that one works while another waits for its EndTxn. A member's
// goroutine does all the work of its partitions. What partitions share is the state of
// a task: the partitions with one number of all topics, which the group gives to one
// member together. Members share nothing.
//
// A round is made in chunks, which are sent as soon as they are made: the client
// compresses one, and the brokers take it, while the member decodes the next. What a
// chunk meets (a registry that is away, a step that fails) ends the round before it; what
// was sent is committed (TestAChunkThatFailsLeavesThoseBeforeIt). What keeps a
// transaction open keeps readers waiting, so a chunk has openWithin, and a partition that
// has failed comes first in its round, when nothing is open. What a chunk did to parked
// rows holds for the next one, and is taken back with the round
// (TestAnAbortedRoundTakesBackWhatItsChunksHaveParked).
//
// Nothing of a batch is kept but what is committed: an abort makes the client read
// again from the committed offsets, and drops the overlays.
//
// Where what happens:
//
//	inlog_member.go   a member from the claim of its transactional id to its end
//	inlog_assign.go   partitions come and go: the group's calls
//	inlog_restore.go  the state of a task is read, and its partitions are taken up
//	inlog_work.go     poll, and a round out of what came; what fails is held back
//	inlog_round.go    messages become the records of a transaction: gate, steps, plan
//	inlog_commit.go   the transaction, and what memory learns of it

import (
	"context"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/sinks"
)

// LogSession is a transactional member of the group. *kafka.Session is one.
type LogSession interface {
	Source
	// Claim ends what a predecessor left open. It comes before Join.
	Claim(ctx context.Context) error
	// PollSome is Poll for at most limit messages.
	PollSome(ctx context.Context, limit int) ([]kafka.Fetched, error)
	Begin(ctx context.Context) error
	Send(records []kafka.Message)
	// Flush says where the transaction's records end; a *kafka.SendError names one
	// that was refused.
	Flush(ctx context.Context) (map[kafka.TopicPartition]int64, error)
	// End commits. It answers false without an error when the transaction was
	// aborted; after an error its outcome is not known.
	End(ctx context.Context, offsets map[kafka.TopicPartition]kafka.Stored) (bool, error)
	Abort(ctx context.Context) error
	// Owned are the partitions that the session has now. The Owner is not always told
	// that one was taken away, and the brokers store an offset for whoever is a member.
	Owned() map[kafka.TopicPartition]bool
}

// Changelog is the topic of the state. *kafka.Changelog is one.
type Changelog interface {
	Topic() string
	Prepare(ctx context.Context, partitions int32) (kafka.ChangelogInfo, error)
	// End is where a partition ends.
	End(ctx context.Context, partition int32) (int64, error)
	// Read reads what is committed from an offset to the end, which it returns.
	Read(ctx context.Context, partition int32, from int64, take func(key, value []byte) error) (next int64, err error)
}

// Outputs makes records of what the steps give. Its errors are *sinks.RecordError,
// *cdc.StopError, or may pass by themselves.
type Outputs interface {
	// Append appends the records of a change, each with its topic and partition.
	Append(ctx context.Context, dst []sinks.Record, c *sinks.Change, in *sinks.Source) ([]sinks.Record, error)
}

// LetterBox is where dead letters go in the transaction of their batch.
// *kafka.DeadLetters is one.
type LetterBox interface {
	// Topic makes sure that the topic has a partition for each letter, and names it.
	Ready(ctx context.Context, sources []string, letters []kafka.Message) (topic string, err error)
}

// LogConfig is what the protocol in the log needs beyond Config.
type LogConfig struct {
	Sessions  int // in this process
	Session   func(n int, owner kafka.Owner) (LogSession, error)
	Changelog Changelog
	Outputs   func() Outputs // of one session
	Letters   LetterBox
	// Fault, when set by a test, is asked at each point of a round; an error ends the
	// session as a crash would.
	Fault func(point string) error
}
