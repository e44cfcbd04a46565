package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/processors"
	"github.com/tailrace/tailrace/schema"
)

func newDlqCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Dead letters: what could not be applied, and what becomes of it",
		Long: `Reads the dead-letter topic of the pipeline and the control topic, where commands about dead letters and
their results stand. Whoever owns the partition of a dead letter carries commands out: a processor must run.
docs/dead-letters.md says what to do when.`,
		Example: "  processor dlq stats\n  processor dlq list --where 'class == \"constraint\"'\n  processor dlq replay --all",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Usage()
			return ops.Usage(errors.New("which of stats, list, show, replay, resolve?"))
		},
	}
	cmd.AddCommand(newDlqStatsCommand(g), newDlqListCommand(g), newDlqShowCommand(g), newDlqReplayCommand(g), newDlqResolveCommand(g))
	return cmd
}

// whereHelp lists what a condition can ask.
const whereHelp = "condition on the fields id, status, class, code, message, step, table, op, entity, position, schema_id, parked, topic, partition, offset, attempts, time, last_failed_at"

// dlqRun opens what every dlq command needs.
func dlqRun(g *globals, f func(context.Context, *ops.Output, *settings, *ledger) error) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		out, s, _, err := g.Open()
		if err != nil {
			return err
		}
		l, err := s.openLedger(cmd.Context())
		if err != nil {
			return err
		}
		defer l.close()
		return f(cmd.Context(), out, s, l)
	}
}

// stat is a line of dlq stats.
type stat struct {
	Status string    `json:"status"`
	Class  string    `json:"class"`
	Code   string    `json:"code,omitempty"`
	Step   string    `json:"step"`
	Table  string    `json:"table,omitempty"`
	Count  int64     `json:"count"`
	Parked int64     `json:"parked"` // of them, those behind another one of their row
	First  time.Time `json:"first,omitzero"`
	Last   time.Time `json:"last,omitzero"`
}

func newDlqStatsCommand(g *globals) *cobra.Command {
	var where string
	cmd := &cobra.Command{
		Use:     "stats",
		Short:   "Counts dead letters by status, class, step and table",
		Example: "  processor dlq stats\n  processor dlq stats -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return dlqRun(g, func(_ context.Context, out *ops.Output, _ *settings, l *ledger) error {
				list, err := l.choose(where, func(*entry) bool { return true })
				if err != nil {
					return err
				}
				return printStats(out, statsOf(list))
			})(cmd)
		},
	}
	cmd.Flags().StringVar(&where, "where", "", whereHelp)
	return cmd
}

func statsOf(list []*entry) []*stat {
	type key struct{ status, class, code, step, table string }
	found := map[key]*stat{}
	var stats []*stat
	for _, e := range list {
		k := key{e.Status, e.Class, e.Code, e.Step, e.Table}
		s := found[k]
		if s == nil {
			s = &stat{Status: e.Status, Class: e.Class, Code: e.Code, Step: e.Step, Table: e.Table, First: e.LastFailed}
			found[k], stats = s, append(stats, s)
		}
		s.Count++
		if e.Parked {
			s.Parked++
		}
		if e.LastFailed.Before(s.First) {
			s.First = e.LastFailed
		}
		if e.LastFailed.After(s.Last) {
			s.Last = e.LastFailed
		}
	}
	slices.SortStableFunc(stats, func(a, b *stat) int {
		return cmp.Or(-cmp.Compare(a.Count, b.Count), cmp.Compare(a.Status, b.Status), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Table, b.Table))
	})
	return stats
}

func printStats(out *ops.Output, stats []*stat) error {
	if out.JSON {
		for _, s := range stats {
			if err := out.Object(s); err != nil {
				return err
			}
		}
		return nil
	}
	if len(stats) == 0 {
		return out.Text("no dead letters\n")
	}
	t := ops.NewTable("STATUS", "COUNT", "PARKED", "CLASS", "CODE", "STEP", "TABLE", "FIRST", "LAST")
	for _, s := range stats {
		t.Row(paintStatus(out, s.Status), ops.Count(s.Count), ops.Count(s.Parked), s.Class, dash(s.Code), s.Step, dash(s.Table), stamp(s.First), stamp(s.Last))
	}
	return t.Write(out)
}

func paintStatus(out *ops.Output, status string) string {
	switch status {
	case statusOpen, string(processors.VerdictFailed):
		return out.Paint(ops.Red, status)
	case statusDue, string(processors.VerdictSuperseded):
		return out.Paint(ops.Yellow, status)
	}
	return out.Paint(ops.Green, status)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

func newDlqListCommand(g *globals) *cobra.Command {
	var where string
	var closed bool
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "Lists dead letters that are open",
		Long:    "Lists the dead letters that are open, in the order of their partitions; with --closed those too that are done with.",
		Example: "  processor dlq list\n  processor dlq list --closed --where 'table == \"public.orders\"' -n 20",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return dlqRun(g, func(_ context.Context, out *ops.Output, _ *settings, l *ledger) error {
				list, err := l.choose(where, func(e *entry) bool { return closed || !e.closed })
				if err != nil {
					return err
				}
				left := 0
				if limit > 0 && len(list) > limit {
					list, left = list[:limit], len(list)-limit
				}
				return printLetters(out, list, left)
			})(cmd)
		},
	}
	cmd.Flags().StringVar(&where, "where", "", whereHelp)
	cmd.Flags().BoolVar(&closed, "closed", false, "show those too that are done with")
	cmd.Flags().IntVarP(&limit, "limit", "n", 0, "show at most `N`; 0 shows all")
	return cmd
}

func printLetters(out *ops.Output, list []*entry, left int) error {
	if out.JSON {
		for _, e := range list {
			if err := out.Object(e); err != nil {
				return err
			}
		}
		return nil
	}
	if len(list) == 0 {
		return out.Text("no dead letters\n")
	}
	t := ops.NewTable("ID", "STATUS", "CLASS", "TABLE", "OP", "ENTITY", "BEHIND", "RECORD", "FAILED", "MESSAGE")
	for _, e := range list {
		t.Row(e.ID, paintStatus(out, e.Status), e.Class, dash(e.Table), dash(e.Op), dash(short(e.Entity, 40)), dash(short(e.Behind, 12)),
			fmt.Sprintf("%s/%d/%d", e.Topic, e.Partition, e.Offset), stamp(e.LastFailed), short(e.Message, 100))
	}
	if err := t.Write(out); err != nil || left == 0 {
		return err
	}
	return out.Text("%s more\n", ops.Count(int64(left)))
}

// short cuts a text, which is then no longer than n runes.
func short(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

func newDlqShowCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Shows one dead letter: why, from where, and its record",
		Long:    "Shows a dead letter with its record, decoded by the schema that it names where that is possible, else in hexadecimal. An ID may be cut to its first digits.",
		Example: "  processor dlq show 6da3baa22d9c750c660a50b3aa7da7a3\n  processor dlq show 6da3 -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return dlqRun(g, func(ctx context.Context, out *ops.Output, s *settings, l *ledger) error {
				e, err := l.find(args[0])
				if err != nil {
					return err
				}
				d := &detail{entry: e}
				err = l.letters.At(ctx, e.Partition, []int64{e.At}, func(m kafka.Message) error {
					d.fill(ctx, s, e.Original(&m))
					return nil
				})
				if err != nil {
					return err
				}
				return d.print(out)
			})(cmd)
		},
	}
}

// detail is a dead letter with its record.
type detail struct {
	*entry
	Headers  map[string]string `json:"headers,omitempty"` // of the record
	Before   map[string]any    `json:"before,omitempty"`
	After    map[string]any    `json:"after,omitempty"`
	KeyHex   string            `json:"key_hex,omitempty"`
	ValueHex string            `json:"value_hex,omitempty"`
	Undecode string            `json:"not_decoded,omitempty"` // why
}

func (d *detail) fill(ctx context.Context, s *settings, m kafka.Message) {
	d.KeyHex, d.ValueHex = hex.EncodeToString(m.Key), hex.EncodeToString(m.Value)
	d.Headers = map[string]string{}
	for _, h := range m.Headers {
		text := string(h.Value)
		if !utf8.ValidString(text) {
			text = "hex:" + hex.EncodeToString(h.Value)
		}
		d.Headers[h.Name] = text
	}
	if err := d.decode(ctx, s, m.Value); err != nil {
		d.Undecode = err.Error()
	}
}

func (d *detail) decode(ctx context.Context, s *settings, value []byte) error {
	id, body, err := schema.SplitHeader(value)
	if err != nil {
		return err
	}
	known, err := s.schemas(prometheus.NewRegistry())
	if err != nil {
		return err
	}
	text, err := known.SchemaByID(ctx, id)
	if err != nil {
		return err
	}
	r, err := schema.NewReader(text)
	if err != nil {
		return err
	}
	if !r.Envelope() {
		return fmt.Errorf("schema %d is not that of a row change", id)
	}
	var e schema.Event
	if err := r.Read(body, &e); err != nil {
		return err
	}
	if h := d.Headers[cdc.HeaderUnavailable]; h != "" {
		schema.MarkUnavailable(h, e.Before, e.After, r.Columns())
	}
	d.Before, d.After = rowOf(e.Before, r.Columns()), rowOf(e.After, r.Columns())
	return nil
}

// rowOf is a row in PostgreSQL's text form; what the record does not carry is left out.
func rowOf(values []cdc.Value, columns []schema.Field) map[string]any {
	if values == nil {
		return nil
	}
	row := map[string]any{}
	for i, v := range values {
		switch v.State {
		case cdc.Text:
			row[columns[i].Name] = string(v.Data)
		case cdc.Null:
			row[columns[i].Name] = nil
		}
	}
	return row
}

func (d *detail) print(out *ops.Output) error {
	if out.JSON {
		return out.Object(d)
	}
	t := ops.NewTable()
	row := func(name, value string) {
		if value != "" {
			t.Row(name, value)
		}
	}
	row("id", d.ID)
	row("status", paintStatus(out, d.Status))
	row("note", d.Note)
	row("class", d.Class)
	row("code", d.Code)
	row("message", d.Message)
	row("step", d.Step)
	if d.Replays > 0 {
		row("replayed from", fmt.Sprintf("%s, time %d", d.From, d.Replays))
	}
	row("sink", d.Sink)
	row("table", d.Table)
	row("op", d.Op)
	row("entity", d.Entity)
	row("behind", d.Behind)
	row("position", d.Letter.Position)
	row("record", fmt.Sprintf("%s/%d offset %d", d.Topic, d.Partition, d.Offset))
	row("time", stamp(d.Time))
	row("attempts", strconv.Itoa(d.Attempts))
	row("first failed", stamp(d.FirstFailed))
	row("last failed", stamp(d.LastFailed))
	row("instance", d.Instance)
	row("configuration", d.Config)
	row("dead letter", fmt.Sprintf("partition %d offset %d", d.Partition, d.At))
	for _, name := range sorted(d.Headers) {
		row("header "+name, short(d.Headers[name], 200))
	}
	for _, part := range []struct {
		name string
		row  map[string]any
	}{{"before", d.Before}, {"after", d.After}} {
		for _, name := range sorted(part.row) {
			text := "null"
			if v, ok := part.row[name].(string); ok {
				text = strconv.Quote(v)
			}
			row(part.name+" "+name, short(text, 200))
		}
	}
	row("stack", strings.ReplaceAll(d.Stack, "\n", "\n    "))
	if d.Undecode != "" {
		row("not decoded", d.Undecode)
		row("key, hexadecimal", short(d.KeyHex, 400))
		row("value, hexadecimal", short(d.ValueHex, 400))
	}
	return t.Write(out)
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
