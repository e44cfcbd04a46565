package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
)

// nothing is the log of a dry run.
type nothing struct{}

func (nothing) Topic(context.Context, string) (int32, error)     { return 1, nil }
func (nothing) Key(string, *cdc.Table) *cdc.KeyPin               { return nil }
func (nothing) PinKey(context.Context, string, cdc.KeyPin) error { return nil }
func (nothing) Batch(context.Context) (*cdc.Batch, error)        { return &cdc.Batch{}, nil }
func (nothing) Publish(context.Context, *cdc.Batch) error        { return nil }
func (nothing) Note(context.Context, cdc.Note) error             { return nil }
func (nothing) Commit(context.Context, cdc.Progress) error       { return nil }
func (nothing) Rest() time.Duration                              { return 0 }

// replayTally counts a replay. It implements cdc.Observer; safe for concurrent use.
type replayTally struct {
	began time.Time

	mu       sync.Mutex // guards the following
	at       cdc.LSN
	tables   map[string]map[string]int // by table and operation
	changes  int
	letters  int
	filtered map[string]int
}

func newReplayTally() *replayTally {
	return &replayTally{began: time.Now(), tables: map[string]map[string]int{}, filtered: map[string]int{}}
}

// Changes counts changes of a table that are durable, or were read.
func (t *replayTally) Changes(table string, op cdc.Op, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tables[table] == nil {
		t.tables[table] = map[string]int{}
	}
	t.tables[table][op.String()] += n
	t.changes += n
}

// Filtered counts what is not replayed.
func (t *replayTally) Filtered(reason string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.filtered[reason] += n
}

// DeadLetter counts a change without a form.
func (t *replayTally) DeadLetter(string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.letters++
}

// Confirmed notes how far the replay is.
func (t *replayTally) Confirmed(lsn cdc.LSN) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = lsn
}

// CommitToAck, Sampled, Fallback and Heartbeat are the running relay's matter.
func (t *replayTally) CommitToAck(time.Duration)       {}
func (t *replayTally) Sampled(cdc.Sample)              {}
func (t *replayTally) Fallback(string, string, string) {}
func (t *replayTally) Heartbeat(time.Time)             {}

// watch shows progress on stderr until the result is called.
func (t *replayTally) watch(r *replayer, q replayRequest, from cdc.LSN) (done func()) {
	t.mu.Lock()
	t.began, t.at = time.Now(), from
	t.mu.Unlock()
	every, terminal := 5*time.Second, ops.IsTerminal(os.Stderr)
	if terminal {
		every = 500 * time.Millisecond
	}
	stop := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				if terminal {
					fmt.Fprint(os.Stderr, "\r\x1b[K")
				}
				return
			case <-tick.C:
				if line := t.line(from, q.To); terminal {
					fmt.Fprint(os.Stderr, "\r\x1b[K"+line)
				} else {
					r.log.Info(line)
				}
			}
		}
	})
	return func() { close(stop); ended.Wait() }
}

// line is how far it is.
func (t *replayTally) line(from, to cdc.LSN) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	elapsed := time.Since(t.began).Seconds()
	done, all := float64(t.at-from), float64(to-from)
	if t.at > to || all == 0 {
		done = all
	}
	left := "unknown"
	if done > 0 {
		left = ops.Seconds(elapsed * (all - done) / done)
	}
	return fmt.Sprintf("%s of %s of WAL, %s changes, %s/s, %s left", ops.Bytes(int64(done)), ops.Bytes(int64(all)), ops.Count(int64(t.changes)), ops.Count(int64(float64(t.changes)/max(elapsed, 0.001))), left)
}

// replaySummary is the result on stdout; its field names are public.
type replaySummary struct {
	ID          string                    `json:"id,omitempty"`
	From        cdc.LSN                   `json:"from"`
	To          cdc.LSN                   `json:"to"`
	WALBytes    int64                     `json:"wal_bytes"`
	Changes     int                       `json:"changes"`
	Seconds     float64                   `json:"seconds"`
	Rate        float64                   `json:"rate"`
	Tables      map[string]map[string]int `json:"tables"`
	DeadLetters int                       `json:"dead_letters"`
	DryRun      bool                      `json:"dry_run"`
	Topics      string                    `json:"topics,omitempty"` // what their names end with, or the one
}

// summary prints what was done. topics is nil for a dry run.
func (r *replayer) summary(q replayRequest, topics *kafka.ReplayConfig) error {
	t := r.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	s := replaySummary{ID: q.ID, From: q.From, To: q.To, WALBytes: int64(q.To - q.From), Changes: t.changes, Seconds: time.Since(t.began).Seconds(), Tables: t.tables, DeadLetters: t.letters, DryRun: topics == nil}
	s.Rate = float64(s.Changes) / max(s.Seconds, 0.001)
	if topics != nil {
		if s.Topics = topics.Into; s.Topics == "" {
			s.Topics = topics.ReplayTopic("*")
		}
	}
	if r.out.JSON {
		return r.out.Object(s)
	}
	table := ops.NewTable("TABLE", "CHANGES")
	for _, name := range slices.Sorted(maps.Keys(s.Tables)) {
		var parts []string
		for _, op := range slices.Sorted(maps.Keys(s.Tables[name])) {
			parts = append(parts, ops.Count(int64(s.Tables[name][op]))+" "+op)
		}
		table.Row(name, strings.Join(parts, ", "))
	}
	if err := table.Write(r.out); err != nil {
		return err
	}
	what := "read"
	if !s.DryRun {
		what = "published into " + s.Topics
	}
	if err := r.out.Text("%s changes from %s to %s, %s of WAL in %s, %s/s: %s\n", ops.Count(int64(s.Changes)), s.From, s.To, ops.Bytes(s.WALBytes), ops.Seconds(s.Seconds), ops.Count(int64(s.Rate)), what); err != nil {
		return err
	}
	if s.DeadLetters > 0 {
		return r.out.Text("%s of them have no form and went to the dead letters of the replay\n", ops.Count(int64(s.DeadLetters)))
	}
	return nil
}
