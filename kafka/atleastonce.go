package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
)

// At least once there are no Kafka transactions: rows are there as soon as a
// broker has them, and the progress record follows when all of them are
// acknowledged.
//
//	rows → acknowledged → progress → acknowledged → confirmed to the server
//
// What can go wrong:
//
//   - killed between rows and progress: the next start publishes those rows again,
//     with the same positions, as one whole run;
//   - a predecessor that lost the slot without noticing still has records on their
//     way, and nothing fences it. It sends none after DeliveryTimeout, and its source
//     ends it when PostgreSQL is silent (cdc/postgres); a successor waits that long
//     before it reads anything, unless the predecessor said farewell;
//   - a predecessor that was frozen goes on when the successor is there. What it
//     still had is too old to be sent, and it hands nothing over, neither rows nor
//     progress nor a farewell, before it has asked whether the slot is its own: its
//     progress, written over the successor's, would make the slot look as if it were
//     ahead;
//   - what was published at most is not in the progress record. It is read from the
//     ends of the partitions (Ends).

// DeliveryTimeout is after how long a record that no broker has acknowledged is
// given up, at least once. The session then ends, and the next one reads on from
// the last progress.
const DeliveryTimeout = 10 * time.Second

// commitAcked waits until every row is acknowledged, and then writes progress.
func (p *Publisher) commitAcked(ctx context.Context, progress cdc.Progress) error {
	if err := p.client.Flush(ctx); err != nil {
		return p.fail(fmt.Errorf("kafka: flush: %w", err))
	}
	if err := p.err(); err != nil {
		return err
	}
	progress.Unfenced = true
	if err := p.write(ctx, progress); err != nil {
		return err
	}
	p.last = &progress
	return nil
}

func (p *Publisher) write(ctx context.Context, progress cdc.Progress) error {
	value, err := json.Marshal(progress)
	if err != nil {
		return fmt.Errorf("progress: %w", err)
	}
	return p.commitNote(ctx, cdc.Note{Key: keyProgress, Value: value})
}

// farewell says that nothing is on its way any more, so that a successor need not
// wait.
func (p *Publisher) farewell() {
	if p.last == nil || p.err() != nil || p.ours() != nil || p.client.BufferedProduceRecords() > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	last := *p.last
	last.Unfenced = false
	_ = p.write(ctx, last) // without it the successor waits
}

// ours fails everything from now on when the source may be another relay's.
func (p *Publisher) ours() error {
	if p.config.Ours == nil {
		return nil
	}
	if err := p.config.Ours(); err != nil {
		return p.fail(fmt.Errorf("kafka: not published: %w", err))
	}
	return nil
}

// outwait lets a predecessor that nothing fences come to its end.
func (p *Publisher) outwait(ctx context.Context) error {
	var rem cdc.Remembered
	if err := p.peek(ctx, &rem); err != nil {
		return err
	}
	if rem.Progress == nil || !rem.Progress.Unfenced {
		return nil
	}
	if p.config.Waiting != nil {
		p.config.Waiting(DeliveryTimeout)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(DeliveryTimeout):
		return nil
	}
}

// peek reads the progress topic as it is, without taking part in anything.
func (p *Publisher) peek(ctx context.Context, rem *cdc.Remembered) error {
	topic := ProgressTopic(p.config.Name)
	ends, err := p.admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return fmt.Errorf("kafka: list offsets of %s: %w", topic, err)
	}
	end, _ := ends.Lookup(topic, 0)
	if end.Err != nil || end.Offset == 0 {
		return end.Err
	}
	bounded, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	err = p.readTo(bounded, topic, func(r *kgo.Record) (bool, error) {
		if string(r.Key) == keyProgress {
			if err := p.remember(rem, keyProgress, r.Value); err != nil {
				return true, err
			}
		}
		return r.Offset+1 >= end.Offset, nil
	}, kgo.KeepControlRecords())
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil // compaction has taken the last one: that was the end
	}
	return err
}

// Ends is the greatest position at the ends of the data topics' partitions.
// It is what was published at most by a relay that publishes at least once.
func (p *Publisher) Ends(ctx context.Context) (cdc.Position, error) {
	var greatest cdc.Position
	names := make([]string, 0, len(p.pinned))
	for name := range p.pinned {
		names = append(names, name)
	}
	if len(names) == 0 {
		return greatest, nil
	}
	starts, err := p.admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return greatest, fmt.Errorf("kafka: list offsets: %w", err)
	}
	ends, err := p.admin.ListCommittedOffsets(ctx, names...)
	if err != nil {
		return greatest, fmt.Errorf("kafka: list offsets: %w", err)
	}
	at := map[string]map[int32]kgo.Offset{}
	left := map[TopicPartition]int64{}
	var failed error
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		if end.Err != nil {
			failed = end.Err // a topic that is gone is the start's own matter
			return
		}
		if end.Offset <= start.Offset {
			return
		}
		if at[end.Topic] == nil {
			at[end.Topic] = map[int32]kgo.Offset{}
		}
		at[end.Topic][end.Partition] = kgo.NewOffset().At(max(start.Offset, end.Offset-lastRecords))
		left[TopicPartition{end.Topic, end.Partition}] = end.Offset
	})
	if failed != nil || len(left) == 0 {
		return greatest, failed
	}
	opts, err := p.config.options()
	if err != nil {
		return greatest, err
	}
	client, err := kgo.NewClient(append(opts, kgo.KeepControlRecords(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumePartitions(at))...)
	if err != nil {
		return greatest, fmt.Errorf("kafka: %w", err)
	}
	defer client.Close()
	for len(left) > 0 {
		bounded, cancel := context.WithTimeout(ctx, silence)
		fetches := client.PollFetches(bounded)
		cancel()
		if ctx.Err() != nil {
			return greatest, ctx.Err()
		}
		if fetches.NumRecords() == 0 {
			return greatest, nil // compaction can have taken the last one
		}
		for r := range fetches.RecordsAll() {
			for _, h := range r.Headers {
				if h.Key != cdc.HeaderPosition {
					continue
				}
				if pos, err := cdc.ParsePosition(string(h.Value)); err == nil && pos.Compare(greatest) > 0 {
					greatest = pos
				}
			}
			if tp := (TopicPartition{r.Topic, r.Partition}); r.Offset+1 >= left[tp] {
				delete(left, tp)
			}
		}
	}
	return greatest, nil
}

// lastRecords are so many that one of them has a position: the others can be ends
// of transactions of an earlier time.
const lastRecords = 16
