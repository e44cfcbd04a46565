package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
)

// ReplayConfig makes a Publisher one of a replay. Its records go into topics of its
// own, and its memory is a topic beside the relay's: the relay reads its progress
// topic only as far as no transaction is open in it, so a replay that was killed
// there would hold up the relay's next start until the broker gives its transaction
// up.
//
// A replay of an id is one however often it is begun: its producer has the
// transactional id of it, so it fences a predecessor, reads what that has made
// durable, and goes on there.
type ReplayConfig struct {
	ID   string
	Into string // the topic for the records of tables; "" for one beside each topic
	// Beside are topics that Into is not about: dead letters, messages, transactions.
	Beside []string
	// Partitions are those of the relay's topics: a record keeps its partition.
	Partitions map[string]int32
	Keys       []cdc.KeyPin // the key schemas of the relay's topics: a record keeps its key
}

// ReplayTopic is where a record of a topic goes in a replay.
func (c *ReplayConfig) ReplayTopic(topic string) string {
	if c.Into != "" && !slices.Contains(c.Beside, topic) {
		return c.Into
	}
	return topic + ".replay." + c.ID
}

// ReplaysTopic is the topic that holds the memory of a relay's replays.
func ReplaysTopic(name string) string { return "tailrace." + name + ".replay" }

// memory is the topic that holds progress.
func (c *PublisherConfig) memory() string {
	if c.Replay != nil {
		return ReplaysTopic(c.Name)
	}
	return ProgressTopic(c.Name)
}

func (c *PublisherConfig) memoryKey(key string) string {
	if c.Replay != nil {
		return c.Replay.ID + "/" + key
	}
	return key
}

// ownKey is the inverse of memoryKey, for records that are this publisher's.
func (c *PublisherConfig) ownKey(key string) (string, bool) {
	if c.Replay != nil {
		return strings.CutPrefix(key, c.Replay.ID+"/")
	}
	return key, true
}

// timeout is after how long the broker ends a transaction of a producer that is
// gone. A replay's readers are waiting for it; a relay must live through a slow
// broker.
func (c *PublisherConfig) timeout() time.Duration {
	if c.Replay != nil {
		return 20 * time.Second
	}
	return 60 * time.Second
}

// target is the topic that stands for one of the relay's, and how many partitions it
// is made with.
func (c *PublisherConfig) target(topic string) (string, int32) {
	if c.Replay == nil {
		return topic, c.Partitions
	}
	partitions := c.Replay.Partitions[topic]
	if name := c.Replay.ReplayTopic(topic); partitions == 0 || name == c.Replay.Into {
		partitions = c.Partitions
	}
	return c.Replay.ReplayTopic(topic), partitions
}

// rename gives the records of a replay their topics. Runs of records have one topic.
func (p *Publisher) rename(b *batch) {
	if p.config.Replay == nil {
		return
	}
	var from, to string
	for i := range b.Records {
		r := &b.Records[i]
		if r.Topic != from {
			from = r.Topic
			to, _ = p.config.target(from)
		}
		r.Topic = to
	}
}

// Recollection is what the progress topic of a relay says to somebody who takes no
// part in it.
type Recollection struct {
	cdc.Remembered
	Bookmarks  map[string]cdc.Bookmark // by name
	Partitions map[string]int32        // of data topics
	Keys       []cdc.KeyPin
	// Recent are the places of the newest progress records, beside the samples: what
	// a slot confirms is one of them.
	Recent []cdc.Sample
}

// mostRecent bounds Recent. The slot is told every 500 ms, of some hundred commits a
// second at most.
const mostRecent = 4096

// Recall reads the progress topic and the schema topic of a relay as they are. It
// fences nobody: the relay may run. Progress is nil when no relay of the name has
// published.
func Recall(ctx context.Context, c PublisherConfig) (*Recollection, error) {
	p, err := bystander(c)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	r := &Recollection{Remembered: cdc.Remembered{Done: map[string]cdc.Cursor{}, History: &cdc.History{}}, Bookmarks: map[string]cdc.Bookmark{}, Partitions: map[string]int32{}}
	if err := p.recall(ctx, r); err != nil {
		return nil, fmt.Errorf("kafka: read %s: %w", ProgressTopic(c.Name), err)
	}
	if err := p.readHistory(ctx, r.History); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, fmt.Errorf("kafka: read %s: %w", SchemaTopic(c.Name), err)
	}
	for topic, pin := range p.pinned {
		r.Partitions[topic] = pin.Partitions
	}
	for _, tables := range p.keys {
		r.Keys = slices.AppendSeq(r.Keys, maps.Values(tables))
	}
	for _, s := range p.samples {
		r.Samples = append(r.Samples, s)
	}
	return r, nil
}

// bystander is a publisher that takes no part in transactions.
func bystander(c PublisherConfig) (*Publisher, error) {
	c.AtLeastOnce, c.TransactionalID, c.Replay = true, "", nil
	return NewPublisher(c)
}

// recall reads the progress topic to its end.
func (p *Publisher) recall(ctx context.Context, r *Recollection) error {
	topic := ProgressTopic(p.config.Name)
	ends, err := p.admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return err
	}
	end, _ := ends.Lookup(topic, 0)
	if end.Err != nil || end.Offset == 0 {
		if errors.Is(end.Err, kerr.UnknownTopicOrPartition) {
			return nil
		}
		return end.Err
	}
	var latest time.Time // the newest record of a topic that is compacted need not be its last offset
	quiet, cancel := context.WithCancel(ctx)
	defer cancel()
	over := time.AfterFunc(2*silence, cancel)
	defer over.Stop()
	err = p.readTo(quiet, topic, func(rec *kgo.Record) (bool, error) {
		if time.Since(latest) > silence/2 {
			latest = time.Now()
			over.Reset(2 * silence)
		}
		var failed error
		if !rec.Attrs.IsControl() {
			failed = p.note(r, string(rec.Key), rec.Value)
		}
		return rec.Offset+1 >= end.Offset, failed
	}, kgo.KeepControlRecords())
	if ctx.Err() == nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// note takes one record of the progress topic in.
func (p *Publisher) note(r *Recollection, key string, value []byte) error {
	if name, ok := strings.CutPrefix(key, keyBookmark); ok {
		delete(r.Bookmarks, name)
		if value == nil {
			return nil
		}
		var b cdc.Bookmark
		if err := json.Unmarshal(value, &b); err != nil {
			return fmt.Errorf("record %q: %w", key, err)
		}
		r.Bookmarks[name] = b
		return nil
	}
	if key == keyReader {
		return nil
	}
	if err := p.remember(&r.Remembered, key, value); err != nil {
		return err
	}
	if key == keyProgress && r.Progress != nil {
		if r.Recent = append(r.Recent, r.Progress.Sample()); len(r.Recent) > 2*mostRecent {
			r.Recent = slices.Clone(r.Recent[mostRecent:])
		}
	}
	return nil
}

// Jot writes records into the progress topic of a relay, beside it: a nil value
// takes a key away. It takes no part in transactions and fences nobody.
func Jot(ctx context.Context, c PublisherConfig, notes ...cdc.Note) error {
	p, err := bystander(c)
	if err != nil {
		return err
	}
	defer p.Close()
	for _, n := range notes {
		if err := p.client.ProduceSync(ctx, &kgo.Record{Topic: ProgressTopic(c.Name), Key: []byte(n.Key), Value: n.Value}).FirstErr(); err != nil {
			return fmt.Errorf("kafka: write %q: %w", n.Key, err)
		}
	}
	return nil
}

// Empty tells whether a topic holds no record, or does not exist.
func Empty(ctx context.Context, c Config, topic string) (bool, error) {
	opts, err := c.options()
	if err != nil {
		return false, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return false, fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return false, fmt.Errorf("kafka: list offsets of %s: %w", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return false, fmt.Errorf("kafka: list offsets of %s: %w", topic, err)
	}
	empty := true
	ends.Each(func(end kadm.ListedOffset) {
		if start, ok := starts.Lookup(end.Topic, end.Partition); ok && end.Err == nil && start.Offset < end.Offset {
			empty = false
		}
	})
	return empty, nil
}
