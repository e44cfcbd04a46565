package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tailrace/tailrace/cdc"
)

// The keys of the progress topic.
const (
	keyProgress = "progress"
	keyIntent   = "slot_intent"
	keyTopic    = "topic/"
	keySnapshot = "snapshot/"
	keyReader   = "reader" // of a start that looks for the end of the topic
)

// Read reads the progress topic to its end, committed records only. Call it after
// Fence: before, a predecessor could still be writing. Where the end is, a record
// of our own shows: offsets would not do, since compaction leaves gaps.
func (p *Publisher) Read(ctx context.Context) (cdc.Remembered, error) {
	rem := cdc.Remembered{Done: map[string]uint32{}}
	topic := ProgressTopic(p.config.Name)
	nonce := strconv.FormatUint(rand.Uint64(), 16)
	if err := p.commitNote(ctx, cdc.Note{Key: keyReader, Value: []byte(nonce)}); err != nil {
		return rem, err
	}
	if err := p.readTo(ctx, topic, nonce, &rem); err != nil {
		return rem, fmt.Errorf("kafka: read %s: %w", topic, err)
	}
	return rem, nil
}

func (p *Publisher) readTo(ctx context.Context, topic, nonce string, rem *cdc.Remembered) error {
	opts, err := p.config.options()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(opts,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)...)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for r := range fetches.RecordsAll() {
			key := string(r.Key)
			if key == keyReader && string(r.Value) == nonce {
				return nil
			}
			if err := p.remember(rem, key, r.Value); err != nil {
				return err
			}
		}
	}
}

func (p *Publisher) remember(rem *cdc.Remembered, key string, value []byte) error {
	decode := func(v any) error {
		if err := json.Unmarshal(value, v); err != nil {
			return &cdc.StopError{What: fmt.Sprintf("the record %q cannot be read", key), Err: err, Next: "another program wrote to the topic; begin anew under another name"}
		}
		return nil
	}
	switch {
	case key == keyProgress:
		rem.Progress = new(cdc.Progress)
		return decode(rem.Progress)
	case key == keyIntent:
		rem.Intent = new(cdc.Intent)
		return decode(rem.Intent)
	case strings.HasPrefix(key, keyTopic):
		var known pin
		if err := decode(&known); err != nil {
			return err
		}
		p.pinned[strings.TrimPrefix(key, keyTopic)] = known
	case strings.HasPrefix(key, keySnapshot):
		oid, err := cdc.ParseSnapshotCursor(value)
		if err != nil {
			return decode(new(map[string]any))
		}
		rem.Done[strings.TrimPrefix(key, keySnapshot)] = oid
	}
	return nil
}
