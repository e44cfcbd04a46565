package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
)

// PublisherConfig is what the relay's producer needs.
type PublisherConfig struct {
	Config
	Name            string // of the relay: names its internal topics
	TransactionalID string
	Compression     string // none, gzip, snappy, lz4, zstd
	MaxRecord       int    // bytes; topics are made for 64 KiB more
	CreateTopics    bool
	Partitions      int32
	Replication     int16 // -1: the broker's default
	TopicConfig     map[string]string
	ContextHeaders  []cdc.Header // on every data record
	Adopt           AdoptConfig  // only for taking over a Debezium's slot
	AtLeastOnce     bool
	Replay          *ReplayConfig // of a replay's producer
	// Waiting is told that a predecessor without fence is waited for; may be nil.
	Waiting func(time.Duration)
	// Ours, at least once, is asked before anything is handed to the client: an error
	// says that the source may be another relay's by now. May be nil.
	Ours func() error
}

// Publisher writes a relay's records and its progress in Kafka transactions
// (KIP-98), or, at least once, without them (atleastonce.go). One goroutine calls
// it; acknowledgements come in from the client's own goroutines.
//
// A failed record, a failed commit or a fenced producer makes every later call
// fail: the caller closes it and starts again from what is durable.
type Publisher struct {
	config PublisherConfig
	client *kgo.Client
	admin  *kadm.Client
	open   bool      // a transaction is
	ended  time.Time // when the last one was
	held   []*batch  // for the next one, which has to wait a little

	constant []kgo.RecordHeader // on every data record

	keys    map[string]map[string]cdc.KeyPin // by topic and table
	samples map[string]cdc.Sample            // by key of the progress topic
	pinned  map[string]pin                   // what the progress topic says of data topics
	seen    map[string]int32                 // partitions of those that were compared with it

	pool    chan *batch // batches whose records are all acknowledged
	made    int
	failure atomic.Pointer[error]

	last *cdc.Progress // at least once: the last one that is durable
}

// maxBatches bounds what is on its way: with batches of 256 KiB, 24 MiB.
const maxBatches = 96

// maxHeld bounds what is kept while a transaction cannot be begun yet: less than
// maxBatches, or Batch would wait for what nobody sends.
const maxHeld = 16

// afterEnd is the pause between the end of one transaction and the beginning of
// the next. Begun earlier, the broker still writes the last one's markers,
// answers CONCURRENT_TRANSACTIONS, and the client backs off for longer.
const afterEnd = 3 * time.Millisecond

// NewPublisher prepares a producer; it dials when first used.
func NewPublisher(c PublisherConfig) (*Publisher, error) {
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	codec, err := compression(c.Compression)
	if err != nil {
		return nil, err
	}
	opts = append(opts,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytesFn(c.largestBatch),
		kgo.BrokerMaxWriteBytes(int32(min(max(100<<20, 2*(c.MaxRecord+topicSlack)), math.MaxInt32))),
		kgo.MaxBufferedRecords(200_000),
		kgo.ProducerLinger(5*time.Millisecond), // a lone change does not wait: its commit flushes
		kgo.StopProducerOnDataLossDetected(),
		kgo.ConcurrentTransactionsBackoff(2*time.Millisecond),
		kgo.UnknownTopicRetries(10),
	)
	if c.AtLeastOnce {
		// A record that may or may not have been written is given up as well: what
		// counts is that none is sent later than that.
		opts = append(opts, kgo.RecordDeliveryTimeout(DeliveryTimeout), kgo.AllowIdempotentProduceCancellation())
	} else {
		opts = append(opts, kgo.TransactionalID(c.TransactionalID), kgo.TransactionTimeout(c.timeout()))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka producer: %w", err)
	}
	p := &Publisher{config: c, client: client, admin: kadm.NewClient(client), pool: make(chan *batch, maxBatches), keys: map[string]map[string]cdc.KeyPin{}, samples: map[string]cdc.Sample{}, pinned: map[string]pin{}, seen: map[string]int32{}}
	if c.Replay != nil {
		for _, pin := range c.Replay.Keys {
			p.keep(pin)
		}
	}
	for _, h := range c.ContextHeaders {
		p.constant = append(p.constant, kgo.RecordHeader{Key: h.Name, Value: []byte(h.Value)})
	}
	return p, nil
}

func compression(name string) (kgo.CompressionCodec, error) {
	switch name {
	case "none", "":
		return kgo.NoCompression(), nil
	case "gzip":
		return kgo.GzipCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	}
	return kgo.NoCompression(), fmt.Errorf("kafka.compression: %q is none of none, gzip, snappy, lz4, zstd", name)
}

// Close ends the client. What was not committed is aborted by the broker or by
// the next Fence.
func (p *Publisher) Close() {
	p.farewell()
	p.client.Close()
}

// Fence makes the internal topics where they are missing, then this producer the
// only one of its transactional id, and ends what a predecessor had open
// (InitProducerId).
func (p *Publisher) Fence(ctx context.Context) error {
	if err := p.prepare(ctx); err != nil {
		return err
	}
	if err := p.outwait(ctx); err != nil || p.config.AtLeastOnce {
		return err
	}
	if _, _, err := p.client.ProducerID(ctx); err != nil {
		return fmt.Errorf("kafka: claim transactional id %q: %w", p.config.TransactionalID, err)
	}
	return nil
}

// batch is an arena with its records and the count of those that are not
// acknowledged yet.
type batch struct {
	cdc.Batch
	publisher *Publisher
	records   []kgo.Record
	headers   []kgo.RecordHeader
	unacked   atomic.Int64
	ack       func(*kgo.Record, error) // one function for all records
}

// Batch returns an empty batch; it waits while as many as the bound allows are on
// their way.
func (p *Publisher) Batch(ctx context.Context) (*cdc.Batch, error) {
	if err := p.err(); err != nil {
		return nil, err
	}
	var b *batch
	select {
	case b = <-p.pool:
	default:
		if p.made < maxBatches {
			p.made++
			b = &batch{publisher: p}
			b.ack = b.acked
			break
		}
		select {
		case b = <-p.pool:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	b.Reset()
	b.Owner = b
	return &b.Batch, nil
}

// acked counts one record; the last one gives the batch back.
func (b *batch) acked(r *kgo.Record, err error) {
	if err != nil {
		b.publisher.fail(b.publisher.refused(r.Topic, err))
	}
	if b.unacked.Add(-1) > 0 {
		return
	}
	const keep = 1 << 20
	if cap(b.Buf) > keep {
		b.Buf = nil // a few large rows must not hold memory for ever
	}
	b.publisher.pool <- b
}

// Publish hands a batch over to the producer, inside of a transaction that it
// begins if none is open, or as soon as one can be begun.
func (p *Publisher) Publish(_ context.Context, cb *cdc.Batch) error {
	b := cb.Owner.(*batch)
	p.rename(b)
	b.fill(p.constant)
	if p.Rest() > 0 && len(p.held) < maxHeld {
		p.held = append(p.held, b)
		return p.err()
	}
	if err := p.begin(); err != nil {
		return err
	}
	p.send(b)
	return nil
}

func (p *Publisher) send(b *batch) {
	b.unacked.Store(int64(len(b.records)))
	background := context.Background() // a record is given up with the client, not with one call
	for i := range b.records {
		p.client.Produce(background, &b.records[i], b.ack)
	}
}

// Rest is what is left of the pause behind the end of a transaction. What is published
// meanwhile is kept.
func (p *Publisher) Rest() time.Duration {
	if p.open || p.config.AtLeastOnce {
		return 0
	}
	return max(0, afterEnd-time.Since(p.ended))
}

// begin opens a transaction, and sends what was kept for it. Its short pause does not
// end with a context: what was taken over must be published, or everything after it
// must fail.
func (p *Publisher) begin() error {
	if err := p.err(); err != nil || p.open {
		return err
	}
	if p.config.AtLeastOnce {
		return p.ours()
	}
	time.Sleep(p.Rest())
	if err := p.client.BeginTransaction(); err != nil {
		return p.fail(fmt.Errorf("kafka: begin a transaction: %w", err))
	}
	p.open = true
	for _, b := range p.held {
		p.send(b)
	}
	p.held = p.held[:0]
	return nil
}

// Note adds a record to one of the relay's own topics.
func (p *Publisher) Note(_ context.Context, n cdc.Note) error {
	if err := p.begin(); err != nil {
		return err
	}
	topic, key := p.config.memory(), p.config.memoryKey(n.Key)
	if n.Schema {
		topic, key = SchemaTopic(p.config.Name), n.Key
	}
	p.client.Produce(context.Background(), &kgo.Record{Topic: topic, Key: []byte(key), Value: n.Value}, func(_ *kgo.Record, err error) {
		if err != nil {
			p.fail(p.refused(topic, err))
		}
	})
	return nil
}

// Commit writes progress and ends the transaction. An error leaves its outcome
// unknown.
func (p *Publisher) Commit(ctx context.Context, progress cdc.Progress) error {
	if p.config.AtLeastOnce {
		return p.commitAcked(ctx, progress)
	}
	progress.Unfenced = false
	value, err := json.Marshal(progress)
	if err != nil {
		return fmt.Errorf("progress: %w", err)
	}
	return p.commitNote(ctx, cdc.Note{Key: keyProgress, Value: value})
}

// Intend makes it durable that a slot is about to be made.
func (p *Publisher) Intend(ctx context.Context, i cdc.Intent) error {
	value, err := json.Marshal(i)
	if err != nil {
		return fmt.Errorf("slot intent: %w", err)
	}
	return p.commitNote(ctx, cdc.Note{Key: keyIntent, Value: value})
}

func (p *Publisher) commitNote(ctx context.Context, n cdc.Note) error {
	if err := p.Note(ctx, n); err != nil {
		return err
	}
	if err := p.client.Flush(ctx); err != nil {
		return p.fail(fmt.Errorf("kafka: flush: %w", err))
	}
	if err := p.err(); err != nil || p.config.AtLeastOnce {
		return err
	}
	if err := p.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return p.fail(fmt.Errorf("kafka: commit: %w", err))
	}
	p.open, p.ended = false, time.Now()
	return nil
}

func (p *Publisher) fail(err error) error {
	p.failure.CompareAndSwap(nil, &err)
	return err
}

func (p *Publisher) err() error {
	if err := p.failure.Load(); err != nil {
		return *err
	}
	return nil
}
