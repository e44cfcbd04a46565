package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/sinks"
)

// parking finds the rows whose parking ends, because the record that it began with comes
// again in the new generation. In the same generation the row's dead letters stand for
// what it lacks, and it stays parked.
func (r *replayer) parking(ctx context.Context) error {
	parks := 0
	for _, m := range r.moves {
		parks += len(m.from.parked)
	}
	inLog := r.settings.Sink.Kafka != nil
	if r.flags.onlyMissing || parks == 0 && !inLog {
		return nil
	}
	l, err := r.settings.openLedger(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	if inLog {
		return r.unparked(l)
	}
	for tp, m := range r.moves {
		for _, p := range m.from.parked {
			if e := l.byID[p.FirstID]; e != nil && e.Topic == tp.Topic && e.Letter.Partition == tp.Partition && e.Letter.Offset >= m.to && e.Letter.Offset < m.bound() {
				m.unpark = append(m.unpark, p)
			}
		}
		r.moves[tp] = m
	}
	return nil
}

// unparked is parking where the changelog has the state that says which rows are parked:
// their owners know, and clear what is named to them. While nobody runs, nobody can.
func (r *replayer) unparked(l *ledger) error {
	if r.settings.Errors.OnPoison != string(processors.PolicyParkKey) {
		return nil
	}
	for _, e := range l.entries {
		tp := kafka.TopicPartition{Topic: e.Topic, Partition: e.Letter.Partition}
		m, ok := r.moves[tp]
		if !ok || e.closed || e.Behind != "" || e.Letter.Offset < m.to || e.Letter.Offset >= m.bound() {
			continue
		}
		if !r.flags.live && !r.flags.dry {
			return &cdc.StopError{What: "a row is parked whose record would come again", Pos: fmt.Sprintf("dead letter %s, %s offset %d", e.ID, tp, e.Letter.Offset),
				Next: "start the processors and give --live, which lets it go; or processor dlq resolve it first"}
		}
		m.unpark = append(m.unpark, sinks.Park{FirstID: e.ID})
		r.moves[tp] = m
	}
	return nil
}

// setBack moves all partitions at once; nobody runs.
func (r *replayer) setBack(ctx context.Context, p *replaySummary) error {
	if err := r.keeper.set(ctx, r.moves); err != nil {
		return err
	}
	if err := r.closeLetters(ctx); err != nil {
		return err
	}
	p.Done = "set_back"
	if r.out.JSON {
		return r.out.Object(p)
	}
	return r.out.Text("set back; start the processors: processor run\n")
}

// closeLetters closes the dead letters whose records come again. It is done last: killed before
// it, they stay listed as open, and replaying one finds it superseded.
func (r *replayer) closeLetters(ctx context.Context) error {
	var results []kafka.Message
	for tp, m := range r.moves {
		for _, park := range m.unpark {
			results = append(results, processors.SetBackResult(park.FirstID, tp))
		}
	}
	if len(results) == 0 {
		return nil
	}
	control, err := kafka.NewControl(r.connection, r.settings.Name, -1)
	if err != nil {
		return err
	}
	defer control.Close()
	return control.Write(ctx, r.topics(), results)
}

func (r *replayer) topics() []string {
	var topics []string
	for tp := range r.moves {
		if !slices.Contains(topics, tp.Topic) {
			topics = append(topics, tp.Topic)
		}
	}
	slices.Sort(topics)
	return topics
}

// setLive commands the owners to go back, and shows how far they are.
func (r *replayer) setLive(ctx context.Context, p *replaySummary) error {
	control, err := kafka.NewControl(r.connection, r.settings.Name, -1)
	if err != nil {
		return err
	}
	defer control.Close()
	var commands []kafka.Message
	due := map[string]kafka.TopicPartition{}
	for tp, m := range r.moves {
		c := &processors.Command{Version: 1, Command: r.id, Do: processors.DoSeek, ID: processors.SeekID(r.id, tp), Topic: tp.Topic, Partition: tp.Partition, Next: m.to, At: time.Now().UTC(), By: person()}
		if !r.flags.onlyMissing {
			c.Generation = m.generation
		}
		if m.stretch != nil {
			c.End, c.Until = m.stretch.End, m.stretch.Until
		}
		c.Unpark = ids(m.unpark)
		commands, due[c.ID] = append(commands, c.Message()), tp
	}
	following, stop := context.WithCancel(ctx)
	results, failed := make(chan *processors.Result, 100), make(chan error, 1)
	go func() {
		failed <- control.Follow(following, func(m kafka.Message) {
			if _, res, err := processors.ReadControl(&m); err == nil && res != nil && res.Command == r.id {
				select {
				case results <- res:
				case <-following.Done():
				}
			}
		})
	}()
	defer func() {
		stop()
		<-failed
	}()
	if err := control.Write(ctx, r.topics(), commands); err != nil {
		return err
	}
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	var refused []string
	for len(due) > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("broken off: %d partitions have not answered yet, and what was commanded is carried out nevertheless", len(due))
		case err := <-failed:
			failed <- err
			return err
		case res := <-results:
			quiet.Reset(silence)
			if tp, ok := due[res.ID]; ok && res.Outcome != processors.VerdictSetBack {
				refused = append(refused, fmt.Sprintf("%s: %s", tp, res.Message))
			}
			delete(due, res.ID)
		case <-quiet.C:
			r.say("no answer for %s from the owners of %s: do they run? Commands wait for them; Ctrl-C leaves them waiting", silence, strings.Join(named(due), ", "))
			quiet.Reset(silence)
		}
	}
	if len(refused) > 0 {
		slices.Sort(refused)
		return errors.New(strings.Join(refused, "\n"))
	}
	p.Done = "set_back"
	if !r.flags.noWait {
		if err := r.watch(ctx, p); err != nil {
			return err
		}
		p.Done = "applied"
	}
	if r.out.JSON {
		return r.out.Object(p)
	}
	return r.out.Text("%s\n", map[string]string{"set_back": "set back; the processors go on from there", "applied": "applied again"}[p.Done])
}

func ids(parks []sinks.Park) []string {
	var out []string
	for _, p := range parks {
		out = append(out, p.FirstID)
	}
	return out
}

func named(due map[string]kafka.TopicPartition) []string {
	var out []string
	for _, tp := range due {
		out = append(out, tp.String())
	}
	slices.Sort(out)
	return out[:min(len(out), 5)]
}

func (r *replayer) say(format string, args ...any) {
	r.clear()
	_, _ = fmt.Fprintf(r.progress, format+"\n", args...)
}

func (r *replayer) clear() {
	if r.terminal {
		_, _ = fmt.Fprint(r.progress, "\r\x1b[K")
	}
}

// watchEvery is how often the command asks how far the owners are.
const watchEvery = 500 * time.Millisecond

// watch waits until every partition is where it was, and shows how far they are.
func (r *replayer) watch(ctx context.Context, p *replaySummary) error {
	left := maps.Clone(r.moves)
	started, shown, all := time.Now(), time.Now(), int64(0)
	for _, m := range r.moves {
		all += m.bound() - m.to
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		at, err := r.keeper.standing(ctx)
		if err != nil {
			return err
		}
		done := all
		for tp, m := range left {
			s := at[tp]
			through := s.offset >= m.from.offset
			if s.stretch != nil && s.stretch.Until != "" {
				through = false
			}
			if through {
				delete(left, tp)
				continue
			}
			done -= max(0, m.bound()-max(s.offset, m.to))
		}
		if len(left) == 0 {
			r.clear()
			return nil
		}
		text := fmt.Sprintf("%s of %s records, %s/s", ops.Count(done), ops.Count(all), ops.Count(int64(float64(done)/max(time.Since(started).Seconds(), 0.1))))
		switch {
		case r.terminal:
			_, _ = fmt.Fprint(r.progress, "\r\x1b[K"+text)
		case time.Since(shown) >= 5*time.Second:
			shown = time.Now()
			_, _ = fmt.Fprintln(r.progress, text)
		}
		select {
		case <-ctx.Done():
			r.clear()
			return fmt.Errorf("broken off at %s; the processors go on by themselves", text)
		case <-tick.C:
		}
	}
}
