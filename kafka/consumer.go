package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
)

// ConsumerConfig is what a member of a consumer group needs.
type ConsumerConfig struct {
	Config
	Group          string
	InstanceID     string // static membership when set
	SessionTimeout time.Duration
	Topics         []string
	Pattern        string    // instead of Topics
	Start          StartFrom // where a partition begins that was never read
	FetchBytes     int       // at most per request
	// Tasks gives partitions with one number, of all topics, to one member at any
	// time (balancer.go).
	Tasks bool
	Owner Owner
	Log   *slog.Logger
}

// StartFrom is where a partition begins that was never read: where Find says, or at Time,
// when that is set, else at its end or at its beginning.
type StartFrom struct {
	Latest bool
	Time   time.Time
	// Find is asked for all partitions of the given topics, by one goroutine at a time. An
	// error makes the partitions wait, and it is asked again.
	Find func(ctx context.Context, given []TopicPartition) (map[TopicPartition]int64, error)
}

// Owner decides about the partitions that a Consumer is given and has to give
// back. Its methods are called one after the other, while Poll may run.
type Owner interface {
	// Assign takes partitions and answers with the offset at which each is to be
	// read from. What it leaves out is not read until the group assigns it again.
	// The context ends when the group begins to take partitions back.
	Assign(ctx context.Context, given []Assigned) (map[TopicPartition]int64, error)
	// Revoke gives partitions back: when it returns, nothing is under way for
	// them. The group waits for it.
	Revoke(ctx context.Context, parts []TopicPartition)
	// Lose is Revoke for partitions that another member may own already.
	Lose(parts []TopicPartition)
}

// TopicPartition names one partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String is topic/partition.
func (tp TopicPartition) String() string { return fmt.Sprintf("%s/%d", tp.Topic, tp.Partition) }

// Assigned is a partition that the group gave to this member.
type Assigned struct {
	TopicPartition
	TopicID   string // "" from brokers before 3.1
	Committed int64  // the group's offset; -1 for none
	Metadata  string // that was committed with it
	Of        int32  // how many partitions the topic has
	First     int64  // the log holds offsets from here
	End       int64  // the next committed record will stand at or after this
	Start     int64  // where StartFrom points
}

// Message is one record, or the marker that ends a transaction (Control), which
// has an offset and nothing else. Key and Value are nil for null.
type Message struct {
	TopicPartition
	Offset  int64
	Time    time.Time
	Key     []byte
	Value   []byte
	Headers []MessageHeader
	Control bool
}

// MessageHeader is a record header.
type MessageHeader = cdc.RecordHeader

// Size is about what the message takes in memory.
func (m *Message) Size() int {
	n := len(m.Key) + len(m.Value) + 160
	for _, h := range m.Headers {
		n += len(h.Name) + len(h.Value) + 40
	}
	return n
}

// Fetched are messages of one partition, in order, or the error that keeps it
// from being read.
type Fetched struct {
	TopicPartition
	Messages []Message
	Err      error
}

// GroupError says that the group does not take, or keep, this member. The client tries
// again by itself.
type GroupError struct{ Err error }

func (e *GroupError) Error() string {
	return "the consumer group does not take this member: " + e.Err.Error() + e.next()
}

func (e *GroupError) Unwrap() error { return e.Err }

// next is what a person has to do where trying again will not do.
func (e *GroupError) next() string {
	switch {
	case errors.Is(e.Err, kerr.InvalidSessionTimeout):
		return "; set group.session_timeout to what the brokers allow (group.min.session.timeout.ms to group.max.session.timeout.ms)"
	case errors.Is(e.Err, kerr.GroupAuthorizationFailed):
		return "; grant the user READ on the group that is named as the pipeline (kafka-acls.sh --add --operation Read --group)"
	case errors.Is(e.Err, kerr.TopicAuthorizationFailed):
		return "; grant the user READ on the source topics"
	case errors.Is(e.Err, kerr.FencedInstanceID):
		return "; another process runs under this group.instance_id: give each its own"
	case errors.Is(e.Err, kerr.InconsistentGroupProtocol):
		return "; another program is in the group, or a version of this one that divides partitions in another way: stop it, or give the pipeline another name"
	case errors.Is(e.Err, kerr.GroupMaxSizeReached):
		return "; the brokers' group.max.size is reached"
	}
	return ""
}

// ErrLost marks errors of a partition whose log no longer holds what is asked
// for: going on would leave records out.
var ErrLost = errors.New("the log no longer holds the offset")

// Consumer is a member of a consumer group: cooperative-sticky, offsets
// committed by hand, committed records only. Join comes first; Poll has one
// caller; the other methods may be called from any goroutine.
type Consumer struct {
	config ConsumerConfig
	opts   []kgo.Opt

	// Set by Join. A callback of the client can run before kgo.NewClient has
	// returned: it waits for joined.
	joined chan struct{}
	client *kgo.Client
	admin  *kadm.Client

	// unread is since when partitions are given whose stored offsets the group has not
	// told yet; nil: it has told them.
	unread atomic.Pointer[time.Time]
}

// NewConsumer prepares a member; it dials nothing.
func NewConsumer(c ConsumerConfig) (*Consumer, error) {
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	consumer := &Consumer{config: c, joined: make(chan struct{})}
	start := kgo.NewOffset().AtStart() // only a mark for "none committed"; assign decides
	opts = append(opts,
		kgo.ConsumerGroup(c.Group),
		kgo.Balancers(c.balancer()),
		kgo.SessionTimeout(c.SessionTimeout),
		// What a group waits for a member that has died while it joined: the client's own
		// default is a minute, however short the session.
		kgo.RebalanceTimeout(max(10*time.Second, c.SessionTimeout)),
		kgo.HeartbeatInterval(min(3*time.Second, c.SessionTimeout/4)), // a short session needs more of them
		kgo.DisableAutoCommit(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.ConsumeStartOffset(start),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.AdjustFetchOffsetsFn(consumer.assign),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			if now := time.Now(); len(list(m)) > 0 {
				consumer.unread.CompareAndSwap(nil, &now)
			}
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, _ *kgo.Client, m map[string][]int32) {
			if parts := list(m); len(parts) > 0 {
				<-consumer.joined
				consumer.unread.Store(nil)
				c.Owner.Revoke(ctx, parts)
			}
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			if parts := list(m); len(parts) > 0 {
				<-consumer.joined
				consumer.unread.Store(nil)
				c.Owner.Lose(parts)
			}
		}),
		kgo.MetadataMaxAge(5*time.Second), // how soon a topic made later is found
		kgo.MetadataMinAge(time.Second),
		kgo.FetchMaxWait(time.Second),
		kgo.FetchMaxBytes(int32(c.FetchBytes)),
		kgo.FetchMaxPartitionBytes(int32(min(c.FetchBytes, 4<<20))),
	)
	if c.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(c.InstanceID))
	}
	if c.Pattern != "" {
		opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics(c.Pattern), kgo.ConsumeExcludeTopics(notData...))
	} else {
		opts = append(opts, kgo.ConsumeTopics(c.Topics...))
	}
	consumer.opts = opts
	if err := kgo.ValidateOpts(opts...); err != nil {
		return nil, fmt.Errorf("kafka consumer: %w", err)
	}
	return consumer, nil
}

// balancer is how the group divides its partitions.
func (c *ConsumerConfig) balancer() kgo.GroupBalancer {
	if c.Tasks {
		return newTaskBalancer()
	}
	return kgo.CooperativeStickyBalancer()
}

// Join makes the client, which joins the group in the background and from then
// on calls the Owner. It is called once.
func (c *Consumer) Join() error {
	client, err := kgo.NewClient(c.opts...)
	if err != nil {
		return fmt.Errorf("kafka consumer: %w", err)
	}
	c.joinedWith(client)
	return nil
}

func (c *Consumer) joinedWith(client *kgo.Client) {
	c.client, c.admin = client, kadm.NewClient(client)
	close(c.joined)
}

// notData are the topics that no pattern means: they hold no row changes, or
// hold them a second time.
var notData = []string{`\.replay\.`, `\.dead_letter$`, `\.transaction$`, `\.message$`, `^tailrace\.`, `^__`}

func list(m map[string][]int32) []TopicPartition {
	var parts []TopicPartition
	for topic, numbers := range m {
		for _, n := range numbers {
			parts = append(parts, TopicPartition{topic, n})
		}
	}
	return parts
}

// Poll waits for messages. It returns the context's error, and nothing else as
// an error of its own: what concerns a partition is in its Fetched, and in one
// without a topic what the group answers (GroupError).
func (c *Consumer) Poll(ctx context.Context) ([]Fetched, error) {
	return fetched(ctx, c.client.PollFetches(ctx))
}

// fetched are the messages of one poll. What the client gave it does not give again, so
// it counts also when ctx has ended by now.
func fetched(ctx context.Context, fetches kgo.Fetches) ([]Fetched, error) {
	if fetches.IsClientClosed() {
		return nil, kgo.ErrClientClosed
	}
	var out []Fetched
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if p.Topic == "" { // of no partition: the end of ctx, or the group's refusal
			var refused *kgo.ErrGroupSession
			if errors.As(p.Err, &refused) && !errors.Is(refused.Err, context.Canceled) {
				out = append(out, Fetched{Err: &GroupError{refused.Err}})
			}
			return
		}
		f := Fetched{TopicPartition: TopicPartition{p.Topic, p.Partition}, Err: lost(p.Err)}
		if len(p.Records) > 0 {
			f.Messages = messages(p.Records)
		}
		if f.Err != nil || len(f.Messages) > 0 {
			out = append(out, f)
		}
	})
	// What came together with the end of ctx is handed out: the client has moved on
	// behind it.
	if err := ctx.Err(); err != nil && len(out) == 0 {
		return nil, err
	}
	return out, nil
}

// lost marks the errors after which a partition cannot go on as if nothing were.
func lost(err error) error {
	var loss *kgo.ErrDataLoss
	if errors.As(err, &loss) || errors.Is(err, kerr.OffsetOutOfRange) {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return err
}

// messages converts records; the bytes are shared, headers are in one slab.
func messages(records []*kgo.Record) []Message {
	count := 0
	for _, r := range records {
		count += len(r.Headers)
	}
	slab := make([]MessageHeader, 0, count)
	out := make([]Message, len(records))
	for i, r := range records {
		m := &out[i]
		m.TopicPartition, m.Offset = TopicPartition{r.Topic, r.Partition}, r.Offset
		if r.Attrs.IsControl() {
			m.Control = true
			continue
		}
		m.Time, m.Key, m.Value = r.Timestamp, r.Key, r.Value
		from := len(slab)
		for _, h := range r.Headers {
			slab = append(slab, MessageHeader{Name: h.Key, Value: h.Value})
		}
		m.Headers = slab[from:len(slab):len(slab)]
	}
	return out
}

// Pause stops the fetching of partitions; what was fetched already may still
// come from one Poll.
func (c *Consumer) Pause(parts ...TopicPartition) { c.client.PauseFetchPartitions(byTopic(parts)) }

// Resume undoes Pause.
func (c *Consumer) Resume(parts ...TopicPartition) { c.client.ResumeFetchPartitions(byTopic(parts)) }

func byTopic(parts []TopicPartition) map[string][]int32 {
	m := map[string][]int32{}
	for _, p := range parts {
		m[p.Topic] = append(m[p.Topic], p.Partition)
	}
	return m
}

// Commit commits offsets to the group, where tools look for its lag.
func (c *Consumer) Commit(ctx context.Context, offsets map[TopicPartition]int64) error {
	if len(offsets) == 0 {
		return nil
	}
	m := map[string]map[int32]kgo.EpochOffset{}
	for tp, next := range offsets {
		if m[tp.Topic] == nil {
			m[tp.Topic] = map[int32]kgo.EpochOffset{}
		}
		m[tp.Topic][tp.Partition] = kgo.EpochOffset{Epoch: -1, Offset: next}
	}
	var failed error
	c.client.CommitOffsetsSync(ctx, m, commitResult(&failed))
	if failed != nil {
		return fmt.Errorf("commit offsets of group %q: %w", c.config.Group, failed)
	}
	return nil
}

// Seek makes reading of a partition go on at an offset.
func (c *Consumer) Seek(tp TopicPartition, offset int64) {
	c.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{tp.Topic: {tp.Partition: {Epoch: -1, Offset: offset}}})
}

// Leave gives all partitions back, by Owner.Revoke, and leaves the group; a
// static member keeps its place in it.
func (c *Consumer) Leave(ctx context.Context) error { return c.client.LeaveGroupContext(ctx) }

// Close ends the client, if Join has made one. What is still owned is given back.
func (c *Consumer) Close() {
	select {
	case <-c.joined:
		c.client.CloseAllowingRebalance()
	default:
	}
}
