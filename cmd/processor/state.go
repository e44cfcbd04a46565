package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/ops"
)

func newStateCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "state",
		Short: "What the pipeline remembers: positions, parked rows, entities",
		Long: `Reads what is committed: with sink.kafka the topic tailrace.<name>.state, with sink.postgres the sink's own tables and
the version columns of the target tables. No processor has to run, and nothing is changed.`,
		Example: "  processor state get 7\n  processor state list --prefix 7 --table public.orders",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Usage()
			return ops.Usage(errors.New("which of get, list?"))
		},
	}
	cmd.AddCommand(newStateGetCommand(g), newStateListCommand(g))
	return cmd
}

func newStateGetCommand(g *globals) *cobra.Command {
	var table string
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Shows all that is remembered of one key",
		Long: `Shows the positions of the rows with that key, whether they are parked and behind which dead letter, and the value that
steps or the sink have of it. KEY is the value of the key; of a key of several columns, a JSON array of texts, as
dlq list shows it: '["7","de"]'.`,
		Example: "  processor state get 7\n  processor state get '[\"7\",\"de\"]' -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, s, _, err := g.Open()
			if err != nil {
				return err
			}
			found := false
			err = s.eachPiece(cmd.Context(), query{key: args[0], exact: true, table: table}, func(p *piece) error {
				if found && !out.JSON {
					if err := out.Text("\n"); err != nil {
						return err
					}
				}
				found = true
				return p.print(out)
			})
			if err == nil && !found {
				return fmt.Errorf("nothing is remembered of key %s; processor state list shows the keys that are known", args[0])
			}
			return err
		},
	}
	cmd.Flags().StringVar(&table, "table", "", "only of `SCHEMA.TABLE`")
	return cmd
}

func newStateListCommand(g *globals) *cobra.Command {
	var q query
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "Lists the keys that something is remembered of",
		Example: "  processor state list --prefix 12 -n 20\n  processor state list --table public.orders -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, s, _, err := g.Open()
			if err != nil {
				return err
			}
			t, n := ops.NewTable("KIND", "TABLE", "KEY", "PARTITION", "POSITION", "REMOVED", "PARKED BEHIND"), 0
			err = s.eachPiece(cmd.Context(), q, func(p *piece) error {
				if n++; limit > 0 && n > limit {
					return nil
				}
				if out.JSON {
					return out.Object(p)
				}
				t.Row(p.Kind, dash(p.where()), short(p.Key, 60), p.number(), dash(p.version()), stamp(p.Removed), dash(p.behind()))
				if n%linesAtOnce == 0 {
					return t.Write(out)
				}
				return nil
			})
			switch {
			case err != nil || out.JSON:
				return err
			case n == 0:
				return out.Text("nothing is remembered\n")
			}
			if err := t.Write(out); err != nil || limit <= 0 || n <= limit {
				return err
			}
			return out.Text("%s more\n", ops.Count(int64(n-limit)))
		},
	}
	cmd.Flags().StringVar(&q.key, "prefix", "", "only keys that begin with `TEXT`")
	cmd.Flags().StringVar(&q.table, "table", "", "only of `SCHEMA.TABLE`")
	cmd.Flags().IntVarP(&limit, "limit", "n", 0, "show at most `N`; 0 shows all")
	return cmd
}

// linesAtOnce is how many lines of a list are held back, so that their columns agree.
const linesAtOnce = 1000

// The kinds of what is remembered.
const (
	kindRow    = "row"    // of the source, as the gate by row has seen it
	kindEntity = "entity" // of a step
	kindTarget = "target" // a row of the sink, or its tombstone
	kindParked = "parked" // a row that nothing else is known of
)

// piece is what is remembered of one key in one place.
type piece struct {
	Kind       string          `json:"kind"`
	Step       string          `json:"step,omitempty"`
	Source     string          `json:"source,omitempty"` // name of the relay and database
	Table      string          `json:"table,omitempty"`
	Key        string          `json:"key"`
	Partition  *int32          `json:"partition,omitempty"`
	Generation int64           `json:"generation"`
	Position   string          `json:"position,omitempty"` // of the last change that was seen
	Applied    string          `json:"applied,omitempty"`  // of the last that was applied; "" without one
	Entity     string          `json:"entity,omitempty"`   // that a row belongs to, by an expression
	Sequence   uint64          `json:"sequence,omitempty"` // an entity's version
	Removed    time.Time       `json:"removed,omitzero"`   // the row is deleted: since when
	Until      time.Time       `json:"kept_until,omitzero"`
	Parked     *parkedPiece    `json:"parked,omitempty"`
	Value      json.RawMessage `json:"value,omitempty"`
}

// parkedPiece says that the changes of a row go to the dead-letter topic.
type parkedPiece struct {
	Topic    string    `json:"topic"`
	Class    string    `json:"class"`
	First    string    `json:"first_id"`
	Count    int64     `json:"count"`
	Since    time.Time `json:"since"`
	LastSeen time.Time `json:"last_seen"`
}

func (p *piece) where() string {
	if p.Kind == kindEntity {
		return p.Step
	}
	return p.Table
}

func (p *piece) number() string {
	if p.Partition == nil {
		return "-"
	}
	return strconv.Itoa(int(*p.Partition))
}

func (p *piece) version() string {
	if p.Kind == kindEntity {
		return "sequence " + strconv.FormatUint(p.Sequence, 10)
	}
	return p.Position
}

func (p *piece) behind() string {
	if p.Parked == nil {
		return ""
	}
	return p.Parked.First
}

func (p *piece) print(out *ops.Output) error {
	if out.JSON {
		return out.Object(p)
	}
	t := ops.NewTable()
	row := func(name, value string) {
		if value != "" && value != "-" {
			t.Row(name, value)
		}
	}
	row("kind", p.Kind)
	row("step", p.Step)
	row("source", p.Source)
	row("table", p.Table)
	row("key", p.Key)
	row("partition", p.number())
	row("generation", strconv.FormatInt(p.Generation, 10))
	row("position", p.Position)
	if p.Applied != p.Position {
		row("applied", p.Applied)
	}
	row("entity", p.Entity)
	if p.Kind == kindEntity {
		row("sequence", strconv.FormatUint(p.Sequence, 10))
	}
	row("removed", stamp(p.Removed))
	row("kept until", stamp(p.Until))
	if k := p.Parked; k != nil {
		row("parked behind", k.First)
		row("parked class", k.Class)
		row("parked records", ops.Count(k.Count))
		row("parked since", stamp(k.Since))
		row("last seen", stamp(k.LastSeen))
	}
	row("value", string(p.Value))
	return t.Write(out)
}

// query chooses pieces.
type query struct {
	key   string // "" all
	exact bool
	table string // of the source or the sink; "" all
}

// takes tells whether a key's text, of any of its forms, is asked for.
func (q query) takes(table, key string) bool {
	if q.table != "" && table != q.table && !strings.HasSuffix(table, "."+q.table) && strings.ReplaceAll(table, `"`, "") != q.table {
		return false
	}
	if q.exact {
		return key == plainKey(q.key)
	}
	return strings.HasPrefix(key, q.key) || strings.HasPrefix(q.key, `["`) && strings.HasPrefix(arrayKey(key), q.key)
}

// plainKey is the text of a key for people: the value of a single column, the array of
// several.
func plainKey(key string) string {
	var values []*string
	if json.Unmarshal([]byte(key), &values) == nil && len(values) == 1 && values[0] != nil {
		return *values[0]
	}
	return key
}
