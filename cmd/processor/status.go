package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/processors"
)

func newStatusCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Shows assignment, lag and errors of the running processor",
		Long:    "Asks the processor that runs with this configuration, at its ops.listen, and shows each of its partitions.",
		Example: "  processor status -c processor.yaml\n  processor status -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, s, _, err := g.Open()
			if err != nil {
				return err
			}
			answer, err := ops.Client{Listen: s.Ops.Listen, TokenFile: s.Ops.TokenFile}.Get(cmd.Context(), "/status")
			if errors.Is(err, ops.ErrNobody) {
				return fmt.Errorf("%w; start it with: processor run -c %s", err, g.Config)
			}
			if err != nil {
				return err
			}
			var status processors.Status
			if err := json.Unmarshal(answer, &status); err != nil {
				return fmt.Errorf("read the answer of %s: %w", s.Ops.Listen, err)
			}
			if out.JSON {
				return out.Object(status)
			}
			return printStatus(out, status)
		},
	}
}

func printStatus(out *ops.Output, s processors.Status) error {
	color := ops.Yellow
	switch s.State {
	case ops.StateStreaming:
		color = ops.Green
	case ops.StateStopped:
		color = ops.Red
	}
	head := ops.NewTable()
	head.Row("pipeline", s.Name)
	head.Row("state", out.Paint(color, s.State))
	if s.Reason != "" {
		head.Row("reason", s.Reason)
	}
	circuit := s.Circuit
	if s.CircuitFor > 0 {
		circuit += ", tried again in " + ops.Seconds(s.CircuitFor)
	}
	head.Row("circuit", circuit)
	head.Row("rate", fmt.Sprintf("%.0f records/s", s.Rate))
	if s.StateKeys > 0 {
		head.Row("remembers", fmt.Sprintf("%s keys, %s", ops.Count(int64(s.StateKeys)), ops.Bytes(int64(s.StateBytes))))
	}
	if s.LastError != "" && s.LastError != s.Reason {
		head.Row("last error", s.LastError)
	}
	head.Row("version", s.Version)
	if err := head.Write(out); err != nil || len(s.Partitions) == 0 {
		return err
	}
	if err := out.Text("\n"); err != nil {
		return err
	}
	t := ops.NewTable("TOPIC", "PARTITION", "OFFSET", "END", "LAG", "BEHIND", "RATE", "PARKED", "KEYS", "BYTES", "STATE")
	for _, p := range s.Partitions {
		t.Row(p.Topic, strconv.Itoa(int(p.Partition)), known(p.Offset), known(p.End), known(p.Lag), ops.Seconds(p.LagSeconds), fmt.Sprintf("%.0f/s", p.Rate),
			strconv.Itoa(p.Parked), ops.Count(int64(p.StateKeys)), ops.Bytes(int64(p.StateBytes)), doing(p))
	}
	if err := t.Write(out); err != nil {
		return err
	}
	for _, p := range s.Partitions {
		if p.Error == "" {
			continue
		}
		if err := out.Text("\n%s/%d: %s\n", p.Topic, p.Partition, p.Error); err != nil {
			return err
		}
	}
	return nil
}

// doing is a partition's state, with how long it has been retrying.
func doing(p processors.PartitionStatus) string {
	if p.Tries == 0 {
		return p.State
	}
	text := fmt.Sprintf("%s, try %d, for %s", p.State, p.Tries, ops.Seconds(time.Since(p.FailingSince).Seconds()))
	if wait := time.Until(p.RetryAt); wait > 0 {
		text += ", again in " + ops.Seconds(wait.Seconds())
	}
	return text
}

// known is a number, or a dash for one that is not known.
func known(n int64) string {
	if n < 0 {
		return "-"
	}
	return ops.Count(n)
}
