package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SessionConfig is what a transactional member of a group needs.
type SessionConfig struct {
	ConsumerConfig
	// TransactionalID is of this session alone, and the same again after a restart,
	// so that the successor ends what the session left open.
	TransactionalID string
	Compression     string // none, gzip, snappy, lz4, zstd
	MaxRecord       int    // bytes
}

// transactionTimeout is when the brokers end a transaction whose session is gone;
// until then, nobody reads past it.
const transactionTimeout = 15 * time.Second

// unreadAtMost is how long the group may keep back the offsets of given partitions. It
// does while a transaction that changes them is open (KIP-447), and brokers end that one
// transactionTimeout after its begin, at their next look (transaction.abort.timed.out.
// transaction.cleanup.interval.ms, 10 s); after a stop in the middle they have been seen not
// to.
const unreadAtMost = transactionTimeout + 30*time.Second

// ErrUnread says that the group keeps back offsets for longer than any transaction may be
// open. The next session of the transactional id makes the brokers end what they hold of
// it.
var ErrUnread = errors.New("the group keeps back the offsets of this member's partitions, as if a transaction were open for longer than it may " +
	"(if this comes again: kafka-transactions.sh find-hanging)")

// Session is a Consumer whose outputs and offsets become durable together, in Kafka
// transactions (KIP-98, KIP-447). One goroutine calls PollSome, Begin, Send,
// Flush, End and Abort; the Owner's methods are called by the client.
//
// A rebalance that takes partitions away makes the transaction under way abort. An
// error of End or Abort leaves the outcome unknown: the session is closed, and
// the next one of its transactional id waits for that outcome before it joins.
type Session struct {
	*Consumer
	session SessionConfig
	group   *kgo.GroupTransactSession
	ended   time.Time // when the last transaction was
	sent    int       // records of the transaction
	used    []slab    // by them
	free    []slab

	unreadAtMost time.Duration // as the constant, but for tests

	mu     sync.Mutex               // guards the following
	failed *SendError               // that says most; nil: none has
	acked  map[TopicPartition]int64 // behind the last acknowledged record of a transaction, but for last
	last   TopicPartition           // whose records were acknowledged last
	end    int64                    // behind those
}

// SendError is a record that the brokers did not take.
type SendError struct {
	Index int // among the records of the transaction, in the order of Send
	Err   error
}

// Error is the cause.
func (e *SendError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *SendError) Unwrap() error { return e.Err }

// TooLarge tells whether a record was refused for its size.
func TooLarge(err error) bool { return errors.Is(err, kerr.MessageTooLarge) }

// NewSession prepares a session; it dials nothing.
func NewSession(c SessionConfig) (*Session, error) {
	codec, err := compression(c.Compression)
	if err != nil {
		return nil, err
	}
	consumer, err := NewConsumer(c.ConsumerConfig)
	if err != nil {
		return nil, err
	}
	consumer.opts = append(consumer.opts,
		kgo.TransactionalID(c.TransactionalID),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytes(int32(c.MaxRecord+topicSlack)),
		kgo.BrokerMaxWriteBytes(int32(max(100<<20, 2*(c.MaxRecord+topicSlack)))),
		kgo.MaxBufferedRecords(200_000),
		kgo.ProducerLinger(5*time.Millisecond), // a lone record does not wait: its commit flushes
		kgo.StopProducerOnDataLossDetected(),
		kgo.ConcurrentTransactionsBackoff(2*time.Millisecond),
		kgo.UnknownTopicRetries(10),
	)
	if err := kgo.ValidateOpts(consumer.opts...); err != nil {
		return nil, fmt.Errorf("kafka session: %w", err)
	}
	return &Session{Consumer: consumer, session: c, unreadAtMost: unreadAtMost}, nil
}

// Claim makes this session the only one of its transactional id, and ends what a
// predecessor left open (InitProducerId). It comes before Join: from then on the
// group's offsets and the changelog have what the predecessor committed.
func (s *Session) Claim(ctx context.Context) error {
	opts, err := s.session.Config.options()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts, kgo.TransactionalID(s.session.TransactionalID), kgo.TransactionTimeout(transactionTimeout),
		kgo.ConcurrentTransactionsBackoff(2*time.Millisecond))...)
	if err != nil {
		return fmt.Errorf("kafka session: %w", err)
	}
	defer client.Close()
	if _, _, err := client.ProducerID(ctx); err != nil {
		return fmt.Errorf("kafka: claim transactional id %q: %w", s.session.TransactionalID, err)
	}
	return nil
}

// Join makes the client, which joins the group in the background and from then on
// calls the Owner. It is called once.
func (s *Session) Join() error {
	group, err := kgo.NewGroupTransactSession(s.opts...)
	if err != nil {
		return fmt.Errorf("kafka session: %w", err)
	}
	s.group = group
	s.joinedWith(group.Client())
	return nil
}

// PollSome waits for messages, at most limit of them. It returns the context's error,
// ErrUnread, after which the session has to be closed, and nothing else as an error of its
// own.
func (s *Session) PollSome(ctx context.Context, limit int) ([]Fetched, error) {
	if since := s.unread.Load(); since != nil && time.Since(*since) > s.unreadAtMost {
		return nil, ErrUnread
	}
	return fetched(ctx, s.group.PollRecords(ctx, limit))
}

// Begin opens a transaction, not earlier than afterEnd behind the last one.
func (s *Session) Begin(ctx context.Context) error {
	if rest := afterEnd - time.Since(s.ended); rest > 0 {
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.used = nil
	s.mu.Lock()
	s.sent, s.failed, s.acked, s.last, s.end = 0, nil, map[TopicPartition]int64{}, TopicPartition{}, 0
	s.mu.Unlock()
	if err := s.group.Begin(); err != nil {
		return fmt.Errorf("kafka: begin a transaction: %w", err)
	}
	return nil
}

// Send adds records to the transaction; each names its partition. It waits while too
// much is on its way. Their bytes must stay as they are until the transaction ends.
func (s *Session) Send(records []Message) {
	background := context.Background() // a record is given up with the transaction
	count := 0
	for i := range records {
		count += len(records[i].Headers)
	}
	room := s.room(len(records), count)
	slab, headers, first := room.records, room.headers, s.sent
	s.sent += len(records)
	done := func(r *kgo.Record, err error) { s.done(slab, first, r, err) }
	for i := range records {
		m, r := &records[i], &slab[i]
		*r = kgo.Record{Topic: m.Topic, Partition: m.Partition, Timestamp: m.Time, Key: m.Key, Value: m.Value}
		if len(m.Headers) > 0 {
			from := len(headers)
			for _, h := range m.Headers {
				headers = append(headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
			}
			r.Headers = headers[from:len(headers):len(headers)]
		}
		s.group.Produce(background, r, done)
	}
}

// slab is the room of the records of one Send.
type slab struct {
	records []kgo.Record
	headers []kgo.RecordHeader
}

// room is that of a transaction before, where it is enough.
func (s *Session) room(records, headers int) slab {
	var r slab
	if n := len(s.free) - 1; n >= 0 {
		r, s.free = s.free[n], s.free[:n]
	}
	if cap(r.records) < records {
		r.records = make([]kgo.Record, records)
	}
	if cap(r.headers) < headers {
		r.headers = make([]kgo.RecordHeader, 0, headers)
	}
	r.records, r.headers = r.records[:records], r.headers[:0]
	s.used = append(s.used, r)
	return r
}

// release makes the room of a transaction free that is durable: the client has let go of
// its records.
func (s *Session) release() {
	for i := range s.used {
		r := &s.used[i]
		clear(r.records)
		clear(r.headers[:cap(r.headers)])
	}
	if s.free = append(s.free, s.used...); len(s.free) > mostSlabs {
		clear(s.free[mostSlabs:])
		s.free = s.free[:mostSlabs]
	}
	s.used = s.used[:0]
}

// mostSlabs is how many slabs a session keeps.
const mostSlabs = 8

// done notes what became of a record of a slab.
func (s *Session) done(slab []kgo.Record, first int, r *kgo.Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		if tp := (TopicPartition{r.Topic, r.Partition}); s.last != tp {
			s.behind()
			s.last, s.end = tp, 0
		}
		s.end = max(s.end, r.Offset+1)
		return
	}
	// One that says more than that another has failed is enough, and the first.
	if s.failed != nil && (TooLarge(s.failed.Err) || !TooLarge(err)) {
		return
	}
	for i := range slab {
		if &slab[i] == r {
			first += i
		}
	}
	s.failed = &SendError{first, fmt.Errorf("topic %s/%d: %w", r.Topic, r.Partition, err)}
}

// behind notes where the partition ends whose records were acknowledged last. s.mu is held.
func (s *Session) behind() {
	if s.end > 0 {
		s.acked[s.last] = max(s.acked[s.last], s.end)
	}
}

// Flush waits until all records are acknowledged, and says where they end. An error
// is a *SendError, or the context's: the transaction has to be aborted.
func (s *Session) Flush(ctx context.Context) (map[TopicPartition]int64, error) {
	if err := s.client.Flush(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return nil, s.failed
	}
	s.behind()
	return s.acked, nil
}

// Stored is what the group keeps of one partition.
type Stored struct {
	Offset   int64
	Metadata string
}

// End commits the transaction with offsets, and nothing else that was polled.
// When it answers false without an error, it was aborted and reading begins again
// at the committed offsets: partitions were taken away meanwhile. After an error the
// outcome is not known.
func (s *Session) End(ctx context.Context, offsets map[TopicPartition]Stored) (committed bool, err error) {
	with := kgo.PreTxnCommitFnContext(ctx, func(r *kmsg.TxnOffsetCommitRequest) error {
		r.Topics = offsetsOf(r.Topics, offsets)
		return nil
	})
	committed, err = s.group.End(with, kgo.TryCommit)
	s.ended = time.Now()
	if err != nil {
		return false, fmt.Errorf("kafka: commit: %w", err)
	}
	if committed {
		s.release()
	}
	return committed, nil
}

// offsetsOf keeps what the client knows of topics, and takes the offsets from
// stored.
func offsetsOf(polled []kmsg.TxnOffsetCommitRequestTopic, stored map[TopicPartition]Stored) []kmsg.TxnOffsetCommitRequestTopic {
	topics := map[string]*kmsg.TxnOffsetCommitRequestTopic{}
	epochs := map[TopicPartition]int32{}
	for i := range polled {
		t := &polled[i]
		for _, p := range t.Partitions {
			epochs[TopicPartition{t.Topic, p.Partition}] = p.LeaderEpoch
		}
		kept := *t
		kept.Partitions = nil
		topics[t.Topic] = &kept
	}
	for tp, o := range stored {
		t := topics[tp.Topic]
		if t == nil {
			made := kmsg.NewTxnOffsetCommitRequestTopic()
			made.Topic = tp.Topic
			t = &made
			topics[tp.Topic] = t
		}
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = tp.Partition, o.Offset, -1
		if epoch, ok := epochs[tp]; ok {
			p.LeaderEpoch = epoch
		}
		metadata := o.Metadata
		p.Metadata = &metadata
		t.Partitions = append(t.Partitions, p)
	}
	var out []kmsg.TxnOffsetCommitRequestTopic
	for _, t := range topics {
		if len(t.Partitions) > 0 {
			out = append(out, *t)
		}
	}
	return out
}

// Abort ends the transaction without effect; reading begins again at the committed
// offsets.
func (s *Session) Abort(ctx context.Context) error {
	_, err := s.group.End(ctx, kgo.TryAbort)
	s.ended = time.Now()
	if err != nil {
		return fmt.Errorf("kafka: abort: %w", err)
	}
	return nil
}

// Owned are the partitions that the session has now.
func (s *Session) Owned() map[TopicPartition]bool {
	owned := map[TopicPartition]bool{}
	for topic, parts := range s.client.CommittedOffsets() {
		for number := range parts {
			owned[TopicPartition{topic, number}] = true
		}
	}
	return owned
}
