package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
)

// sending is what replay and resolve share.
type sending struct {
	do             string
	all, dryRun    bool
	force, discard bool
	noWait         bool
	where          string
	rate           int
}

func newDlqReplayCommand(g *globals) *cobra.Command {
	s := &sending{do: processors.DoReplay}
	cmd := &cobra.Command{
		Use:   "replay ID…",
		Short: "Applies dead letters again",
		Long: `Has the owners of their partitions apply dead letters again, through the whole pipeline as it is configured now.
A dead letter whose row is parked takes with it all that stands behind, in order. One that is older than what its
row has is refused as superseded, unless --force. What is closed already is never applied again: the command may
be broken off and given again.`,
		Example: "  processor dlq replay 6da3baa22d9c750c660a50b3aa7da7a3\n  processor dlq replay --all --where 'class == \"constraint\"' --rate 100",
		RunE:    func(cmd *cobra.Command, args []string) error { return s.run(g, cmd, args) },
	}
	f := cmd.Flags()
	f.BoolVar(&s.all, "all", false, "all that are open")
	f.StringVar(&s.where, "where", "", "of them, those that meet a "+whereHelp)
	f.IntVar(&s.rate, "rate", 0, "at most `N` a second; 0 is as fast as they are applied")
	f.BoolVar(&s.force, "force", false, "apply also what is older than what the row has")
	f.BoolVar(&s.dryRun, "dry-run", false, "only list what would be replayed")
	f.BoolVar(&s.noWait, "no-wait", false, "do not wait for the results")
	return cmd
}

func newDlqResolveCommand(g *globals) *cobra.Command {
	s := &sending{do: processors.DoResolve}
	cmd := &cobra.Command{
		Use:   "resolve ID…",
		Short: "Lets parked rows go, and closes other dead letters",
		Long: `Where the row of a dead letter is parked: the row's dead letters are applied in order and its marker is cleared, in
one commit; with --discard without the one that is named. If one of them fails again, nothing is applied and the
row stays parked. Where the row is not parked: the dead letter is closed without being applied.`,
		Example: "  processor dlq resolve 6da3baa22d9c750c660a50b3aa7da7a3\n  processor dlq resolve --discard 6da3",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return s.run(g, cmd, args) },
	}
	cmd.Flags().BoolVar(&s.discard, "discard", false, "leave the named dead letter itself out")
	cmd.Flags().BoolVar(&s.noWait, "no-wait", false, "do not wait for the results")
	return cmd
}

func (s *sending) run(g *globals, cmd *cobra.Command, args []string) error {
	switch {
	case s.all && len(args) > 0:
		return ops.Usage(errors.New("want IDs or --all, not both"))
	case !s.all && len(args) == 0:
		return ops.Usage(errors.New("want IDs, or --all"))
	case s.where != "" && !s.all:
		return ops.Usage(errors.New("--where chooses among --all"))
	case s.rate < 0:
		return ops.Usage(errors.New("--rate: want at least 0"))
	}
	return dlqRun(g, func(ctx context.Context, out *ops.Output, set *settings, l *ledger) error {
		list, err := s.choose(l, args)
		if err != nil {
			return err
		}
		if s.dryRun {
			return printLetters(out, list, 0)
		}
		if len(list) == 0 {
			return printOutcomes(out, nil)
		}
		b := &bureau{sending: s, ledger: l, sources: set.Source.Topics, name: set.Name, progress: os.Stderr, live: ops.IsTerminal(os.Stderr)}
		return b.run(ctx, out, list)
	})(cmd)
}

func (s *sending) choose(l *ledger, args []string) ([]*entry, error) {
	if s.all {
		return l.choose(s.where, func(e *entry) bool { return !e.closed })
	}
	var list []*entry
	for _, id := range args {
		e, err := l.find(id)
		if err != nil {
			return nil, err
		}
		if e.closed {
			return nil, fmt.Errorf("dead letter %s is %s already: %s", e.ID, e.Status, dash(e.Note))
		}
		if !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	return list, nil
}

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

	waiting map[string]*waiting // by dlq.id
	counts  map[processors.Verdict]int
	done    []outcome
	total   int
	shown   time.Time
}

// waiting is a command under way with the dead letters that it is about: one, or
// those of a parked row.
type waiting struct {
	command string
	entries []*entry
}

// outcome is a line of the commands' output.
type outcome struct {
	ID      string             `json:"id"`
	Outcome processors.Verdict `json:"outcome"`
	Message string             `json:"message,omitempty"`
}

func (b *bureau) run(ctx context.Context, out *ops.Output, list []*entry) error {
	b.waiting, b.counts, b.total = map[string]*waiting{}, map[processors.Verdict]int{}, len(list)
	groups := b.groups(list)
	following, stop := context.WithCancel(ctx)
	results := make(chan *processors.Result, atOnce)
	failed := make(chan error, 1)
	go func() {
		failed <- b.ledger.control.Follow(following, func(m kafka.Message) {
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
	for len(groups) > 0 || len(b.waiting) > 0 {
		if len(groups) > 0 && len(b.waiting) < atOnce && !time.Now().Before(next) {
			n := min(len(groups), atOnce-len(b.waiting))
			if b.rate > 0 {
				n = min(n, max(1, b.rate/10))
				next = time.Now().Add(time.Second * time.Duration(n) / time.Duration(b.rate))
			}
			if err := b.send(ctx, groups[:n]); err != nil {
				return err
			}
			if groups = groups[n:]; b.noWait && len(groups) == 0 {
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

// groups puts the dead letters of one row together: one command is about all.
func (b *bureau) groups(list []*entry) [][]*entry {
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
	messages := make([]kafka.Message, len(groups))
	for i, entries := range groups {
		e := entries[0]
		c := &processors.Command{
			Version: 1, Command: nonce(), Do: b.do, ID: e.ID, Topic: e.Topic, Partition: e.Partition, Offset: e.At, Behind: e.Behind,
			Force: b.force, Discard: b.discard, At: time.Now().UTC(), By: person(),
		}
		if first := b.ledger.byID[e.Behind]; first != nil {
			c.First = first.At
		}
		messages[i] = c.Message()
		b.waiting[e.ID] = &waiting{c.Command, entries}
	}
	return b.ledger.control.Write(ctx, b.sources, messages)
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

// take notes a result; those of earlier commands come by as well.
func (b *bureau) take(r *processors.Result) {
	w := b.waiting[r.ID]
	if w == nil || !r.Outcome.Closed() && r.Command != w.command {
		return
	}
	delete(b.waiting, r.ID)
	for _, e := range w.entries {
		o := outcome{ID: e.ID, Outcome: r.Outcome, Message: r.Message}
		if e.ID != r.ID && r.Outcome == processors.VerdictDiscarded {
			o.Outcome = processors.VerdictApplied
		}
		b.done = append(b.done, o)
		b.counts[o.Outcome]++
	}
}

func (b *bureau) say(format string, args ...any) {
	b.clear()
	_, _ = fmt.Fprintf(b.progress, format+"\n", args...)
}

func (b *bureau) clear() {
	if b.live {
		_, _ = fmt.Fprint(b.progress, "\r\x1b[K")
	}
}

// show says how far it is: all the time on a terminal, else every five seconds.
func (b *bureau) show() {
	text := fmt.Sprintf("%s of %s: %s", ops.Count(int64(len(b.done))), ops.Count(int64(b.total)), b.tally())
	if b.live {
		_, _ = fmt.Fprint(b.progress, "\r\x1b[K"+text)
	} else if time.Since(b.shown) >= 5*time.Second && !b.shown.IsZero() {
		b.shown = time.Now()
		_, _ = fmt.Fprintln(b.progress, text)
	} else if b.shown.IsZero() {
		b.shown = time.Now()
	}
}

func (b *bureau) tally() string {
	text := ""
	for _, v := range sortedVerdicts(b.counts) {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%s %s", ops.Count(int64(b.counts[v])), v)
	}
	if text == "" {
		return "none yet"
	}
	return text
}

func sortedVerdicts(m map[processors.Verdict]int) []processors.Verdict {
	var list []processors.Verdict
	for v := range m {
		list = append(list, v)
	}
	slices.Sort(list)
	return list
}

func (b *bureau) sent(out *ops.Output) error {
	if out.JSON {
		return out.Object(map[string]int{"commanded": b.total})
	}
	return out.Text("commanded %s; processor dlq list shows what becomes of them\n", ops.Count(int64(b.total)))
}

// printOutcomes writes what became of each; failures last in the text, where they
// are all that is listed.
func printOutcomes(out *ops.Output, b *bureau) error {
	if b == nil {
		if out.JSON {
			return nil
		}
		return out.Text("no dead letters that are open\n")
	}
	bad := 0
	t := ops.NewTable("ID", "OUTCOME", "MESSAGE")
	for _, o := range b.done {
		if out.JSON {
			if err := out.Object(o); err != nil {
				return err
			}
		}
		if !o.Outcome.Closed() {
			bad++
			t.Row(o.ID, paintStatus(out, string(o.Outcome)), o.Message)
		}
	}
	if !out.JSON {
		if err := out.Text("%s: %s\n", ops.Count(int64(len(b.done))), b.tally()); err != nil {
			return err
		}
		if bad > 0 {
			if err := t.Write(out); err != nil {
				return err
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d dead letters are still open", bad, len(b.done))
	}
	return nil
}
