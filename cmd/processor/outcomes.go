package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/processors"
)

// outcome is a line of the commands' output.
type outcome struct {
	ID      string             `json:"id"`
	Outcome processors.Verdict `json:"outcome"`
	Message string             `json:"message,omitempty"`
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
