package main

import (
	"context"
	"flag"

	"github.com/twmb/franz-go/pkg/kgo"
)

// runLoop copies a topic of one partition to another, as little as a consumer group
// can do: it polls, produces, waits until all is acknowledged, and commits the
// offsets. Nothing is decoded, remembered or transactional. It ends when it is told
// to.
func runLoop(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("loop", flag.ContinueOnError)
	brokers := f.String("brokers", "", "")
	from := f.String("from", "", "")
	to := f.String("to", "", "")
	group := f.String("group", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(*brokers), kgo.ConsumerGroup(*group), kgo.ConsumeTopics(*from), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	ended := make(chan error, 1)
	go func() {
		defer client.Close()
		ended <- hold()
	}()
	for {
		fetches := client.PollFetches(ctx)
		if fetches.IsClientClosed() {
			return <-ended
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		var sent kgo.FirstErrPromise
		fetches.EachRecord(func(r *kgo.Record) {
			client.Produce(ctx, &kgo.Record{Topic: *to, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers}, sent.Promise())
		})
		if err := client.Flush(ctx); err != nil {
			return err
		}
		if err := sent.Err(); err != nil {
			return err
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			return err
		}
		client.AllowRebalance()
	}
}
