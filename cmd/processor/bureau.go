package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"os/user"
	"slices"
	"time"

	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
)

// atOnce is how many commands are under way.
const atOnce = 500

// silence is after how long without any result the bureau says what it waits for.
const silence = 10 * time.Second

// bureau sends commands and waits for their results.
type bureau struct {
	*sending
	ledger   *ledger
	sources  []string
	name     string
	progress io.Writer
	live     bool // progress is a terminal

	groups  [][]*entry                    // to be sent
	waiting map[string]*waiting           // by the dlq.id of the one that is named
	of      map[string]*waiting           // by that of each one without a result
	early   map[string]*processors.Result // of those to be sent, closed by somebody else; and of first ones, with their rows
	counts  map[processors.Verdict]int
	done    []outcome
	total   int
	shown   time.Time
}

// waiting is a command under way about one dead letter, or about all of a row.
type waiting struct {
	command string
	named   *entry
	open    map[string]*entry // without a result yet
}

func (b *bureau) run(ctx context.Context, out *ops.Output, list []*entry) error {
	b.waiting, b.of, b.early, b.counts, b.total = map[string]*waiting{}, map[string]*waiting{}, map[string]*processors.Result{}, map[processors.Verdict]int{}, len(list)
	b.groups = b.rows(list)
	following, stop := context.WithCancel(ctx)
	results := make(chan *processors.Result, atOnce)
	failed := make(chan error, 1)
	go func() {
		failed <- b.ledger.control.Follow(following, func(m kafka.Message) {
			if m.Offset < b.ledger.ends[m.Partition] {
				return // what the ledger knows
			}
			if _, r, err := processors.ReadControl(&m); err == nil && r != nil {
				select {
				case results <- r:
				case <-following.Done():
				}
			}
		})
	}()
	defer func() {
		stop()
		<-failed
	}()
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	next := time.Now()
	for len(b.groups) > 0 || len(b.waiting) > 0 {
		if len(b.groups) > 0 && len(b.waiting) < atOnce && !time.Now().Before(next) {
			n := min(len(b.groups), atOnce-len(b.waiting))
			if b.rate > 0 {
				n = min(n, max(1, b.rate/10))
				next = time.Now().Add(time.Second * time.Duration(n) / time.Duration(b.rate))
			}
			if err := b.send(ctx, b.groups[:n]); err != nil {
				return err
			}
			if b.groups = b.groups[n:]; b.noWait && len(b.groups) == 0 {
				return b.sent(out)
			}
		}
		select {
		case <-ctx.Done():
			b.clear()
			return fmt.Errorf("broken off: %d dead letters have no result yet, and what was commanded is carried out nevertheless; give the command again to see the rest through", b.total-len(b.done))
		case err := <-failed:
			failed <- err
			return err
		case r := <-results:
			quiet.Reset(silence)
			b.take(r)
		case <-tick.C:
			b.show()
		case <-quiet.C:
			b.say("no result for %s: is a processor %q running that owns the partitions? Commands wait for it; Ctrl-C leaves them waiting", silence, b.name)
			quiet.Reset(silence)
		}
	}
	b.clear()
	return printOutcomes(out, b)
}

// rows puts the dead letters of one row together: one command is about all.
func (b *bureau) rows(list []*entry) [][]*entry {
	var groups [][]*entry
	at := map[string]int{}
	for _, e := range list {
		if first := b.ledger.byID[e.First()]; e.group && (first == nil || !first.closed) {
			if i, ok := at[e.First()]; ok {
				groups[i] = append(groups[i], e)
				continue
			}
			at[e.First()] = len(groups)
		}
		groups = append(groups, []*entry{e})
	}
	return groups
}

func (b *bureau) send(ctx context.Context, groups [][]*entry) error {
	var messages []kafka.Message
	for _, entries := range groups {
		if entries = b.open(entries); len(entries) == 0 {
			continue
		}
		e := entries[0]
		c := &processors.Command{
			Version: 1, Command: nonce(), Do: b.do, ID: e.ID, Topic: e.Topic, Partition: e.Partition, Offset: e.At, Behind: e.Behind,
			Force: b.force, Discard: b.discard, At: time.Now().UTC(), By: person(),
		}
		if first := b.ledger.byID[e.Behind]; first != nil {
			c.First = first.At
		}
		messages = append(messages, c.Message())
		w := &waiting{c.Command, e, map[string]*entry{}}
		b.waiting[e.ID] = w
		for _, e := range entries {
			w.open[e.ID], b.of[e.ID] = e, w
		}
	}
	if len(messages) == 0 {
		return nil
	}
	return b.ledger.control.Write(ctx, b.sources, messages)
}

// open leaves out what somebody else has closed meanwhile, and notes it.
func (b *bureau) open(entries []*entry) []*entry {
	return slices.DeleteFunc(entries, func(e *entry) bool {
		r := b.early[e.ID]
		if row := b.early[e.First()]; r == nil && row != nil && row.Row {
			r = row
		}
		if r != nil {
			b.note(e.ID, r)
		}
		return r != nil
	})
}

func nonce() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// person says who commands, for those who read the topic later.
func person() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

// take notes a result. Those of the other dead letters of a row stand before that of the
// one that was named; where they do not, because the row is not parked any more, they get
// commands of their own.
func (b *bureau) take(r *processors.Result) {
	w := b.of[r.ID]
	if w == nil && r.Outcome.Closed() && b.ledger.byID[r.ID] != nil {
		b.early[r.ID] = r
	}
	switch {
	case r.Row && r.Outcome.Closed(): // the row went on by itself
		for _, w := range b.waiting {
			if w.named.First() == r.ID {
				b.end(w, r)
			}
		}
	case w == nil || !r.Outcome.Closed() && r.Command != w.command:
	case r.Row:
		b.end(w, r)
	default:
		delete(w.open, r.ID)
		b.note(r.ID, r)
		if r.ID == w.named.ID {
			delete(b.waiting, r.ID)
			b.singly(w)
		}
	}
}

// end notes the one result of all dead letters that a command was about.
func (b *bureau) end(w *waiting, r *processors.Result) {
	delete(b.waiting, w.named.ID)
	for id := range w.open {
		b.note(id, r)
	}
}

// singly has what is left of a row commanded one by one.
func (b *bureau) singly(w *waiting) {
	left := slices.SortedFunc(maps.Values(w.open), func(a, b *entry) int { return cmp.Compare(a.At, b.At) })
	for _, e := range left {
		delete(b.of, e.ID)
		b.groups = append(b.groups, []*entry{e})
	}
}

func (b *bureau) note(id string, r *processors.Result) {
	delete(b.of, id)
	b.done = append(b.done, outcome{ID: id, Outcome: r.Outcome, Message: r.Message})
	b.counts[r.Outcome]++
}
