package processors

import (
	"context"
	"fmt"

	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/sinks"
)

// lettersAtOnce is how many dead letters are in memory at once.
const lettersAtOnce = 100

// drain takes the partition's dead letters from the sink's outbox to their
// topic, in order, and removes them once they are acknowledged. The owner does
// nothing else meanwhile, so the outbox stays small; a topic that cannot be
// written holds the partition, as a sink does that cannot be written.
//
// Killed between the acknowledgement and the removal, it writes them again:
// their dlq.id is the same.
func (o *owner) drain(ctx context.Context) error {
	for o.backlog {
		letters, err := o.config.Outbox.Undelivered(ctx, o.claim, lettersAtOnce)
		if err != nil {
			return err
		}
		if len(letters) == 0 {
			o.backlog = false
			return nil
		}
		if err := o.config.Letters.Write(ctx, o.topics(), messagesOf(letters)); err != nil {
			return fmt.Errorf("deliver %d dead letters: %w", len(letters), err)
		}
		if err := o.config.Outbox.Delivered(ctx, o.claim, letters); err != nil {
			return err
		}
	}
	return nil
}

func messagesOf(letters []sinks.DeadLetter) []kafka.Message {
	out := make([]kafka.Message, len(letters))
	for i, d := range letters {
		out[i] = kafka.Message{TopicPartition: kafka.TopicPartition{Topic: d.Topic, Partition: d.Partition}, Time: d.Timestamp, Key: d.Key, Value: d.Value}
		for _, h := range d.Headers {
			out[i].Headers = append(out[i].Headers, kafka.MessageHeader{Name: h.Name, Value: h.Value})
		}
	}
	return out
}
