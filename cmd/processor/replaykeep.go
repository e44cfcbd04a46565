package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// standing is where a partition is.
type standing struct {
	offset     int64
	generation int64
	stretch    *processors.Stretch // that it goes through
	parked     []sinks.Park
	claim      sinks.Claim // of a sink that keeps offsets
	metadata   string      // of a group that does
}

// move is where a partition is to be set.
type move struct {
	from       standing
	to         int64
	generation int64
	stretch    *processors.Stretch
	unpark     []sinks.Park
}

// keeper is where the pipeline's offsets are: in the sink, or with the group.
type keeper interface {
	standing(ctx context.Context) (map[kafka.TopicPartition]standing, error)
	// set moves all partitions; nobody may own one.
	set(ctx context.Context, moves map[kafka.TopicPartition]move) error
}

// inSink is the sink, whose offset rows are the truth. The group's offsets follow, so
// that tools see the lag; they are set first, because the brokers refuse it while the
// group has members.
type inSink struct {
	mover sinks.Mover
	group *kafka.Group
}

func (k *inSink) standing(ctx context.Context) (map[kafka.TopicPartition]standing, error) {
	claims, err := k.mover.Standing(ctx)
	if err != nil {
		return nil, err
	}
	out := map[kafka.TopicPartition]standing{}
	for _, c := range claims {
		if c.Next < 0 {
			continue // it was given to somebody, who read nothing of it
		}
		stretch, err := processors.ParseStretch(c.Note)
		if err != nil {
			return nil, err
		}
		out[kafka.TopicPartition{Topic: c.Topic, Partition: c.Number}] = standing{offset: c.Next, generation: max(c.Generation, 1), stretch: stretch, parked: c.Parked, claim: c}
	}
	return out, nil
}

func (k *inSink) set(ctx context.Context, moves map[kafka.TopicPartition]move) error {
	offsets := map[kafka.TopicPartition]kafka.Stored{}
	var all []sinks.Move
	for tp, m := range moves {
		offsets[tp] = kafka.Stored{Offset: m.to}
		to := sinks.Move{Claim: m.from.claim, Next: m.to, Generation: m.generation, Note: m.stretch.Note()}
		for _, p := range m.unpark {
			to.Unpark = append(to.Unpark, p.Key)
		}
		all = append(all, to)
	}
	if err := k.group.Set(ctx, offsets); err != nil {
		return somebodyCame(err)
	}
	slices.SortFunc(all, func(a, b sinks.Move) int { // as batches lock them: never in two orders
		return strings.Compare(fmt.Sprintf("%s/%09d", a.Claim.Topic, a.Claim.Number), fmt.Sprintf("%s/%09d", b.Claim.Topic, b.Claim.Number))
	})
	return somebodyCame(k.mover.Move(ctx, all))
}

// inGroup is the group, whose offsets are all there is, or the truth beside the state.
type inGroup struct {
	group *kafka.Group
	inLog bool // what stands beside an offset is the protocol's
}

func (k *inGroup) standing(ctx context.Context) (map[kafka.TopicPartition]standing, error) {
	offsets, err := k.group.Offsets(ctx)
	if err != nil {
		return nil, err
	}
	out := map[kafka.TopicPartition]standing{}
	for tp, o := range offsets {
		s := standing{offset: o.Offset, generation: 1, metadata: o.Metadata}
		if k.inLog {
			s.generation, s.stretch = processors.ReadMetadata(o.Metadata)
		}
		out[tp] = s
	}
	return out, nil
}

func (k *inGroup) set(ctx context.Context, moves map[kafka.TopicPartition]move) error {
	offsets := map[kafka.TopicPartition]kafka.Stored{}
	for tp, m := range moves {
		o := kafka.Stored{Offset: m.to, Metadata: m.from.metadata}
		if k.inLog {
			o.Metadata = processors.SetMetadata(m.from.metadata, m.generation, m.stretch)
		}
		offsets[tp] = o
	}
	return somebodyCame(k.group.Set(ctx, offsets))
}

// somebodyCame says what it means that a partition is not where it was.
func somebodyCame(err error) error {
	if errors.Is(err, sinks.ErrFenced) || errors.Is(err, kafka.ErrMembers) {
		return &cdc.StopError{What: "a processor of the pipeline has come meanwhile, and nothing was set back", Err: err, Next: "stop it, or give --live, and give the command again"}
	}
	return err
}
