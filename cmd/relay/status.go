package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
)

func newStatusCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Prints what runs now: state, slot, lag, rate, snapshot, last error",
		Long: `Prints what runs now. It asks the relay at ops.listen of its configuration; when none answers
there, it asks PostgreSQL itself how the slot stands.`,
		Example: "  relay status -c relay.yaml\n  relay status -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := g.Out()
			if err != nil {
				return err
			}
			log, err := g.Logger()
			if err != nil {
				return err
			}
			s, _, err := g.Load()
			if err != nil {
				return err
			}
			r, err := s.askStatus(cmd.Context(), log)
			if err != nil {
				return err
			}
			if out.JSON {
				return out.Object(r)
			}
			return printStatus(out, r)
		},
	}
}

// askStatus asks the relay, and PostgreSQL where no relay answers.
func (s *settings) askStatus(ctx context.Context, log *slog.Logger) (report, error) {
	answer, err := ops.Client{Listen: s.Ops.Listen}.Get(ctx, "/status")
	switch {
	case errors.Is(err, ops.ErrNobody):
		return s.slotStatus(ctx, log)
	case err != nil:
		return report{}, err
	}
	var r report
	if err := json.Unmarshal(answer, &r); err != nil {
		return report{}, fmt.Errorf("read the answer of %s: %w; is something else listening there?", s.Ops.Listen, err)
	}
	return r, nil
}

// slotStatus is what PostgreSQL knows of a relay that is not here.
func (s *settings) slotStatus(ctx context.Context, log *slog.Logger) (report, error) {
	r := report{Name: s.Name, Slot: s.Postgres.Slot.Name, Publication: s.Postgres.Publication.Name}
	nobody := "no relay answers at ops.listen " + s.Ops.Listen
	if s.Ops.Listen == "" {
		nobody = "ops.listen is empty, so no relay can be asked"
	}
	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	config := s.postgresConfig(log, &ruleBook{})
	conn, err := postgres.Connect(bounded, config)
	if err != nil {
		return r, fmt.Errorf("%s, and PostgreSQL does not tell either: %w", nobody, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	wal, err := postgres.ReadWAL(bounded, conn, config.Slot)
	if err != nil {
		return r, err
	}
	r.ServerLSN, r.ConfirmedLSN, r.RetainedBytes = wal.End, wal.Confirmed, wal.Retained
	if wal.End > wal.Confirmed && wal.Confirmed > 0 {
		r.LagBytes = int64(wal.End - wal.Confirmed)
	}
	switch {
	case wal.Status == "":
		r.State, r.Reason = "absent", nobody+"; PostgreSQL has no such slot"
	case wal.Active:
		r.State, r.Reason = "elsewhere", nobody+"; the slot is in use, so a relay runs with another ops.listen"
	case wal.Status == "lost":
		r.State, r.Reason = "lost", nobody+"; the slot is lost: relay check says what to do"
	default:
		r.State, r.Reason = "down", nobody+"; the slot waits and holds WAL back"
	}
	r.LagSeconds = -1 // nobody counts it
	held, err := postgres.ReadHeld(bounded, conn, s.names())
	r.Trailing, r.Bookmarks, r.HeldXMinAge = pastOf(held, time.Time{})
	return r, err
}

func printStatus(out *ops.Output, r report) error {
	color := ops.Red
	if (ops.Health{State: r.State}).Ready() {
		color = ops.Green
	}
	t := ops.NewTable()
	t.Row("name", r.Name)
	t.Row("state", out.Paint(color, r.State))
	if r.Reason != "" {
		t.Row("reason", r.Reason)
	}
	t.Row("slot", r.Slot)
	t.Row("publication", r.Publication)
	t.Row("confirmed", r.ConfirmedLSN.String())
	t.Row("server", r.ServerLSN.String())
	lag := ops.Bytes(r.LagBytes)
	if r.LagSeconds >= 0 {
		lag += ", " + ops.Seconds(r.LagSeconds)
	}
	t.Row("lag", lag)
	t.Row("retained", ops.Bytes(r.RetainedBytes))
	if past := r.Trailing; past != nil {
		text := past.LSN.String() + ", holds " + ops.Bytes(past.RetainedBytes)
		if past.Since != nil {
			text += ", " + ops.Seconds(past.seconds(time.Now())) + " back"
		}
		t.Row("trailing", text)
	}
	if n := r.Bookmarks.Count; n > 0 {
		t.Row("bookmarks", fmt.Sprintf("%d, the oldest holds %s", n, ops.Bytes(r.Bookmarks.RetainedBytes)))
	}
	if r.HeldXMinAge > 0 {
		t.Row("catalog held", ops.Count(r.HeldXMinAge)+" transactions")
	}
	if r.Version != "" {
		t.Row("rate", fmt.Sprintf("%.0f changes/s", r.Rate))
	}
	if r.Snapshot.Table != "" {
		done := ops.Count(int64(r.Snapshot.Done)) + " rows"
		if r.Snapshot.Total > 0 {
			done += " of about " + ops.Count(r.Snapshot.Total)
		}
		t.Row("snapshot", r.Snapshot.Table+", "+done)
	}
	if r.LastError != "" {
		t.Row("last error", strings.TrimSpace(r.LastError))
	}
	if r.Version != "" {
		t.Row("version", r.Version)
	}
	return t.Write(out)
}
