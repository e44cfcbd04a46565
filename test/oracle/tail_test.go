package oracle

import (
	"context"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// pollTime is how long one look into a topic takes when nothing comes.
const pollTime = 500 * time.Millisecond

// tail counts the records of a topic of one partition that committed
// transactions, or none, have written.
type tail struct {
	kafka  string
	client *kgo.Client
	seen   int64
}

func newTail(kafka string) *tail { return &tail{kafka: kafka} }

func (x *tail) close() {
	if x.client != nil {
		x.client.Close()
	}
}

// count polls at most once, for what has arrived since the last call.
func (x *tail) count(ctx context.Context, topic string) (int64, error) {
	if x.client == nil {
		if ok, err := x.exists(ctx, topic); err != nil || !ok {
			return 0, err
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(x.kafka), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
		if err != nil {
			return 0, err
		}
		x.client = client
	}
	poll, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	fetches := x.client.PollFetches(poll)
	x.seen += int64(fetches.NumRecords())
	return x.seen, nil
}

func (x *tail) exists(ctx context.Context, topic string) (bool, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(x.kafka))
	if err != nil {
		return false, err
	}
	defer client.Close()
	list, err := kadm.NewClient(client).ListTopics(ctx)
	return list.Has(topic), err
}

// of keeps the topics of one prefix.
func of(prefix string) func(string) bool {
	return func(topic string) bool { return strings.HasPrefix(topic, prefix+".") }
}
