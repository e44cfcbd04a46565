package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/processors/steps"
	"github.com/tailrace/tailrace/sinks"
)

// replayer is one replay from the log.
type replayer struct {
	settings *settings
	flags    replayFlags
	out      *ops.Output
	log      *slog.Logger
	progress io.Writer
	terminal bool // progress is one, and so is what is read from
	stateful bool

	connection kafka.Config
	search     *searching
	group      *kafka.Group
	keeper     keeper
	closers    []func()

	id     string
	ranges map[kafka.TopicPartition]kafka.Range
	moves  map[kafka.TopicPartition]move
}

func newReplayer(s *settings, flags replayFlags, out *ops.Output, log *slog.Logger, made []steps.Config) (*replayer, error) {
	r := &replayer{settings: s, flags: flags, out: out, log: log, progress: os.Stderr, terminal: ops.IsTerminal(os.Stderr) && ops.IsTerminal(os.Stdin),
		stateful: stateful(steps.Build(made)), id: nonce(), moves: map[kafka.TopicPartition]move{}}
	var err error
	if r.connection, err = s.kafkaConfig(); err != nil {
		return nil, err
	}
	finder, err := kafka.NewFinder(r.connection)
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, finder.Close)
	reader, err := newReading(s)
	if err != nil {
		return nil, err
	}
	r.search = &searching{finder: finder, reader: reader}
	if r.group, err = kafka.NewGroup(r.connection, s.Name); err != nil {
		return nil, err
	}
	r.closers = append(r.closers, r.group.Close)
	if s.Sink.Kafka != nil {
		r.keeper = &inGroup{r.group, true}
		return r, nil
	}
	sink, err := s.sink(log)
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, sink.Close)
	r.keeper = &inGroup{r.group, false}
	if mover, ok := sink.(sinks.Mover); ok {
		r.keeper = &inSink{mover, r.group}
	}
	return r, nil
}

func (r *replayer) close() {
	for _, f := range slices.Backward(r.closers) {
		f()
	}
}

func (r *replayer) run(ctx context.Context) error {
	if err := r.allowed(ctx); err != nil {
		return err
	}
	if err := r.plan(ctx); err != nil {
		return err
	}
	p, err := r.summary(ctx)
	if err != nil {
		return err
	}
	if err := p.print(r.out); err != nil {
		return err
	}
	if r.flags.dry || p.Records == 0 {
		if r.out.JSON {
			return r.out.Object(p)
		}
		return nil
	}
	if err := r.ask(p); err != nil {
		return err
	}
	if r.flags.live {
		return r.setLive(ctx, p)
	}
	return r.setBack(ctx, p)
}

// allowed refuses what cannot be right before anything is searched for.
func (r *replayer) allowed(ctx context.Context) error {
	switch {
	case !r.stateful || r.flags.onlyMissing:
	case r.flags.from != "beginning" || r.flags.to != "":
		return &cdc.StopError{What: "a step of the pipeline keeps state of many rows (latest), which is that of the end of what was read: it cannot start in the middle",
			Next: "go back to the beginning (--from beginning), build it anew beside this one under another name, or fill in what is missing with --only-missing"}
	case len(r.flags.topics) > 0:
		return &cdc.StopError{What: "a step of the pipeline keeps state of many rows (latest): its topics go back together", Next: "leave --topic out"}
	case r.flags.live:
		return &cdc.StopError{What: "a step of the pipeline keeps state of many rows (latest), whose partitions go back together", Next: "stop the processors, and leave --live out"}
	}
	if r.flags.dry {
		return nil
	}
	members, err := r.group.Members(ctx)
	if err != nil {
		return err
	}
	switch {
	case len(members) > 0 && !r.flags.live:
		return &cdc.StopError{What: "the pipeline runs: its group has the members " + strings.Join(members, ", "),
			Next: fmt.Sprintf("stop the processors, or give --live, which has them do it; one that was killed is a member for %s more at most (group.session_timeout)", r.settings.Group.SessionTimeout)}
	case len(members) == 0 && r.flags.live:
		return &cdc.StopError{What: "nobody runs the pipeline", Next: "leave --live out"}
	}
	return nil
}

// plan finds the offsets.
func (r *replayer) plan(ctx context.Context) error {
	topics, err := r.search.topics(ctx, &r.settings.Source)
	if err != nil {
		return err
	}
	for _, t := range r.flags.topics {
		if !slices.Contains(topics, t) {
			return ops.Usage(fmt.Errorf("--topic %s: the pipeline reads %s", t, strings.Join(topics, ", ")))
		}
	}
	if len(r.flags.topics) > 0 {
		topics = r.flags.topics
	}
	if r.ranges, err = r.search.finder.Ranges(ctx, topics...); err != nil {
		return err
	}
	at, err := r.keeper.standing(ctx)
	if err != nil {
		return err
	}
	for tp, s := range at {
		known, ok := r.ranges[tp]
		if !ok {
			continue
		}
		if s.claim.ID != "" && known.TopicID != "" && s.claim.ID != known.TopicID {
			return &cdc.StopError{What: "the topic was deleted and made anew: its offsets are not those that the pipeline has", Pos: tp.String(), Next: "see docs/replay.md, A topic was deleted"}
		}
		r.moves[tp] = move{from: s, to: s.offset, generation: s.generation}
	}
	maps.DeleteFunc(r.ranges, func(tp kafka.TopicPartition, _ kafka.Range) bool { _, ok := r.moves[tp]; return !ok })
	if len(r.ranges) == 0 {
		return nil
	}
	if err := r.search.learn(ctx, r.ranges); err != nil {
		return err
	}
	if err := r.stretches(ctx); err != nil {
		return err
	}
	return r.parking(ctx)
}

// stretches decides where each partition goes, and how far.
func (r *replayer) stretches(ctx context.Context) error {
	from, _ := parsePlace("--from", r.flags.from) // validate has read it
	begin, cuts, err := r.search.offsets(ctx, r.ranges, from)
	if err != nil {
		return err
	}
	if err := r.held(from, begin, cuts); err != nil {
		return err
	}
	var end map[kafka.TopicPartition]kafka.Found
	until := map[string]cdc.Position{}
	if r.flags.to != "" {
		to, _ := parsePlace("--to", r.flags.to)
		if end, until, err = r.search.offsets(ctx, r.ranges, to); err != nil {
			return err
		}
		if err := r.remembered(to, end); err != nil {
			return err
		}
	}
	generation := int64(0)
	for _, m := range r.moves {
		generation = max(generation, m.generation)
	}
	if !r.flags.onlyMissing {
		generation++
	}
	for tp, m := range r.moves {
		m.to = min(m.from.offset, begin[tp].Offset)
		if !r.flags.onlyMissing {
			m.generation = generation
		}
		s := &processors.Stretch{Version: 1, ID: r.id, From: m.to, Then: m.from.offset, Missing: r.flags.onlyMissing}
		old := m.from.stretch
		if old != nil && r.flags.to == "" {
			s.Then = max(s.Then, old.Then)
		}
		if under, err := r.overwriting(ctx, tp, m.from); err != nil {
			return err
		} else if under {
			return &cdc.StopError{What: processors.StillOverwriting, Pos: tp.String(), Next: "wait until it is through (processor status shows the lag), and give the command again"}
		}
		if cut, ok := until[r.sourceOf(tp)]; ok {
			if old != nil && old.Until != "" {
				return &cdc.StopError{What: "the pipeline still goes through a stretch that has an end", Pos: tp.String(), Next: "wait until it is through, or go back without --to"}
			}
			s.Until, s.End = cut.String(), min(max(end[tp].Offset, m.to), m.from.offset)
		}
		if m.to < s.Then {
			m.stretch = s
		}
		r.moves[tp] = m
	}
	return nil
}

// overwriting tells whether a partition goes through a stretch in a new generation, of which
// more is left than ends of transactions, and only what is missing is asked for.
func (r *replayer) overwriting(ctx context.Context, tp kafka.TopicPartition, at standing) (bool, error) {
	old := at.stretch
	if old == nil || old.Missing || !r.flags.onlyMissing {
		return false, nil
	}
	if old.Until != "" {
		return true, nil
	}
	left, err := r.search.finder.First(ctx, map[kafka.TopicPartition]kafka.Range{tp: {First: at.offset, End: old.Then}}, hasPosition)
	return left[tp].Message != nil, err
}

func (r *replayer) sourceOf(tp kafka.TopicPartition) string {
	for s, topics := range r.search.sources {
		if slices.Contains(topics, tp.Topic) {
			return s
		}
	}
	return ""
}

// held refuses a position that is older than all that the topics hold of its source, once
// something was removed from them. Where a partition holds something older, what the
// others have lost is older still, as far as records are removed by their age.
func (r *replayer) held(from place, begin map[kafka.TopicPartition]kafka.Found, cuts map[string]cdc.Position) error {
	for source, cut := range cuts {
		removed, oldest := false, (*kafka.Message)(nil)
		older := false // something before the cut is there, or the cut itself
		for tp, known := range r.search.within(r.ranges, source) {
			x := begin[tp]
			removed, older = removed || known.First > 0, older || x.Offset > known.First
			if x.Message == nil {
				continue
			}
			p, _ := position(x.Message)
			older = older || p.Epoch == cut.Epoch && p.LSN == cut.LSN
			if oldest == nil {
				oldest = x.Message
			} else if old, _ := position(oldest); p.Compare(old) < 0 {
				oldest = x.Message
			}
		}
		if removed && !older && oldest != nil && from.at.IsZero() {
			p, _ := position(oldest)
			return &cdc.StopError{What: from.text + " is no longer in the topics",
				Next: fmt.Sprintf("the oldest position that they hold is %s, of %s (--from beginning); relay replay publishes again what a slot still holds, and a snapshot the tables as they are now", p, stamp(r.timeOf(oldest)))}
		}
	}
	return nil
}

// remembered refuses an end so far back that deletions behind it may be forgotten: a row
// that was deleted then would come back, and stay.
func (r *replayer) remembered(to place, end map[kafka.TopicPartition]kafka.Found) error {
	if r.flags.onlyMissing {
		return nil
	}
	at := to.at
	for _, x := range end {
		if x.Message != nil && (at.IsZero() || r.timeOf(x.Message).Before(at)) {
			at = r.timeOf(x.Message)
		}
	}
	if !at.IsZero() && time.Since(at) > r.settings.State.Retention {
		return &cdc.StopError{What: fmt.Sprintf("--to %s is further back than deleted rows are remembered (state.retention, %s): one that was deleted since would come back", r.flags.to, r.settings.State.Retention),
			Next: "leave --to out: then the deletions are applied again, too"}
	}
	return nil
}

// timeOf is when a record's change was committed, or else when it was published.
func (r *replayer) timeOf(m *kafka.Message) time.Time {
	if s, ok := r.search.reader.source(m); ok && s.TsMs > 0 {
		return time.UnixMilli(s.TsMs)
	}
	return m.Time
}

// ask lets a person at a terminal think again.
func (r *replayer) ask(p *replaySummary) error {
	if r.flags.yes || !r.terminal {
		return nil
	}
	_, _ = fmt.Fprintf(r.progress, "Set %s back? [y/N] ", r.settings.Name)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); err == nil && (answer == "y" || answer == "yes") {
		return nil
	}
	return &ops.Exit{Code: ops.ExitFailed, Err: errors.New("nothing was done")}
}
