package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
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
	keyKey      = "key/" // the key schema of a table's records in a topic
	keySnapshot = "snapshot/"
	keyDecision = "decision"
	keySample   = "sample/"
	keyBookmark = "bookmark/"
	keyReader   = "reader" // of a start that looks for the end of the topic
)

// Read reads the progress topic and the schema topic to their ends, committed
// records only. Call it after Fence: before, a predecessor could still be writing.
func (p *Publisher) Read(ctx context.Context) (cdc.Remembered, error) {
	rem := cdc.Remembered{Done: map[string]cdc.Cursor{}, History: &cdc.History{}}
	if err := p.readProgress(ctx, &rem); err != nil {
		return rem, fmt.Errorf("kafka: read %s: %w", p.config.memory(), err)
	}
	rem.Samples = slices.Collect(maps.Values(p.samples))
	if err := p.readHistory(ctx, rem.History); err != nil {
		return rem, fmt.Errorf("kafka: read %s: %w", SchemaTopic(p.config.Name), err)
	}
	return rem, nil
}

// readProgress reads the progress topic. Where its end is, a record of our own
// shows: offsets would not do, since compaction leaves gaps.
func (p *Publisher) readProgress(ctx context.Context, rem *cdc.Remembered) error {
	nonce := strconv.FormatUint(rand.Uint64(), 16)
	if err := p.commitNote(ctx, cdc.Note{Key: keyReader, Value: []byte(nonce)}); err != nil {
		return err
	}
	return p.readTo(ctx, p.config.memory(), func(r *kgo.Record) (end bool, err error) {
		key, own := p.config.ownKey(string(r.Key))
		if !own {
			return false, nil
		}
		if key != keyReader {
			err = p.remember(rem, key, r.Value)
		}
		return key == keyReader && string(r.Value) == nonce, err
	})
}

// readHistory reads the schema topic. It is never compacted, so every offset holds
// a record or the end of a transaction, and the last one is met.
func (p *Publisher) readHistory(ctx context.Context, h *cdc.History) error {
	topic := SchemaTopic(p.config.Name)
	starts, err := p.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	ends, err := p.admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return err
	}
	start, _ := starts.Lookup(topic, 0)
	last, _ := ends.Lookup(topic, 0)
	if err := errors.Join(start.Err, last.Err); err != nil || start.Offset >= last.Offset {
		return err
	}
	return p.readTo(ctx, topic, func(r *kgo.Record) (end bool, err error) {
		if !r.Attrs.IsControl() {
			err = recall(h, r.Value)
		}
		return r.Offset+1 >= last.Offset, err
	}, kgo.KeepControlRecords())
}

// readTo reads a topic's only partition from its beginning, until take says that
// the end is there.
func (p *Publisher) readTo(ctx context.Context, topic string, take func(*kgo.Record) (end bool, err error), also ...kgo.Opt) error {
	opts, err := p.config.options()
	if err != nil {
		return err
	}
	opts = append(opts,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	client, err := kgo.NewClient(append(opts, also...)...)
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
			if end, err := take(r); end || err != nil {
				return err
			}
		}
	}
}

// recall reads an entry of the schema topic.
func recall(h *cdc.History, value []byte) error {
	if err := h.Add(value); err != nil {
		return &cdc.StopError{What: "an entry of the schema topic cannot be read", Err: err, Next: "another program wrote to the topic; begin anew under another name"}
	}
	return nil
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
	case strings.HasPrefix(key, keyKey):
		var pin cdc.KeyPin
		if err := decode(&pin); err != nil {
			return err
		}
		p.keep(pin)
	case strings.HasPrefix(key, keySnapshot):
		var c cdc.Cursor
		if err := decode(&c); err != nil {
			return err
		}
		rem.Done[strings.TrimPrefix(key, keySnapshot)] = c
	case strings.HasPrefix(key, keySample):
		var s cdc.Sample
		if err := decode(&s); err != nil {
			return err
		}
		p.samples[key] = s
	case key == cdc.KeyRequest:
		rem.Request = value
	case key == cdc.KeyDone:
		rem.Finished = true
	case key == keyDecision:
		rem.Decision = new(cdc.Decision)
		return decode(rem.Decision)
	}
	return nil
}
