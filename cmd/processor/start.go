package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/kafka"
)

// startAt finds where partitions that were never read begin when source.start is an LSN.
// Positions of one source are compared, so all topics are looked at, also those that other
// members have: which history an LSN belongs to is the same for all of them.
//
// What can go wrong:
//
//	the brokers or the registry are away     an error: the partitions wait
//	the topics are of several sources        an error that says so
//	a topic has no records yet               it begins at its end, which is its beginning
//	two members look at different times      what came meanwhile stands behind what both have found
func (s *settings) startAt(connection kafka.Config, lsn cdc.LSN) func(context.Context, []kafka.TopicPartition) (map[kafka.TopicPartition]int64, error) {
	known, asked := map[kafka.TopicPartition]int64{}, map[kafka.TopicPartition]bool{}
	return func(ctx context.Context, given []kafka.TopicPartition) (map[kafka.TopicPartition]int64, error) {
		if !slices.ContainsFunc(given, func(tp kafka.TopicPartition) bool { return !asked[tp] }) {
			return known, nil
		}
		found, err := s.findStart(ctx, connection, lsn)
		if err != nil {
			return nil, fmt.Errorf("source.start %s: %w", lsn, err)
		}
		for tp, f := range found {
			if _, ok := known[tp]; !ok {
				known[tp] = f.Offset
			}
		}
		for _, tp := range given { // those of the pipeline's own topics are not searched
			asked[tp] = true
		}
		return known, nil
	}
}

// findStart searches all topics of the pipeline.
func (s *settings) findStart(ctx context.Context, connection kafka.Config, lsn cdc.LSN) (map[kafka.TopicPartition]kafka.Found, error) {
	finder, err := kafka.NewFinder(connection)
	if err != nil {
		return nil, err
	}
	defer finder.Close()
	reader, err := newReading(s)
	if err != nil {
		return nil, err
	}
	search := &searching{finder: finder, reader: reader}
	topics, err := search.topics(ctx, &s.Source)
	if err != nil {
		return nil, err
	}
	ranges, err := finder.Ranges(ctx, topics...)
	if err != nil {
		return nil, err
	}
	if err := search.learn(ctx, ranges); err != nil {
		return nil, err
	}
	found, _, err := search.offsets(ctx, ranges, place{lsn: lsn})
	return found, err
}
