package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
)

// resumption is the body of POST /resume: what the next start may do about
// trouble, once.
type resumption struct {
	Resnapshot bool `json:"resnapshot"`
	AcceptGap  bool `json:"accept_gap"`
}

// remedyFlags adds the flags by which a person settles a gap.
func remedyFlags(cmd *cobra.Command, r *resumption) {
	cmd.Flags().BoolVar(&r.Resnapshot, "resnapshot", false, "where changes are gone, or the server has another history: read all tables again in a new epoch, and have sinks delete what they hold from before")
	cmd.Flags().BoolVar(&r.AcceptGap, "accept-gap", false, "where changes are gone: go on without them, and record it")
	cmd.MarkFlagsMutuallyExclusive("resnapshot", "accept-gap")
}

func newResumeCommand(g *globals) *cobra.Command {
	var r resumption
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "Has a stopped relay try again, once its cause is mended",
		Long: `Has a relay that is stopped try again. A relay stops where a person must decide, and says on /readyz
and in relay status why. Mend the cause first; or, where changes are gone, say with a flag how to go on.
A relay that is not running needs no resume: a start tries by itself, and takes the same flags.`,
		Example: "  relay resume -c relay.yaml\n  relay resume --resnapshot",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := g.Out()
			if err != nil {
				return err
			}
			s, _, err := g.Load()
			if err != nil {
				return err
			}
			state, err := s.resume(cmd.Context(), r)
			if errors.Is(err, ops.ErrNobody) {
				return fmt.Errorf("%w: no relay runs with this configuration; start it, relay run tries by itself", err)
			}
			if err != nil {
				return err
			}
			if out.JSON {
				return out.Object(map[string]string{"state": state})
			}
			return out.Text("the relay was %s and tries again; relay status shows how it goes\n", state)
		},
	}
	remedyFlags(cmd, &r)
	return cmd
}

// resume asks the relay that runs here. state is what it was.
func (s *settings) resume(ctx context.Context, r resumption) (state string, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("resume: %w", err)
	}
	answer, err := ops.Client{Listen: s.Ops.Listen, TokenFile: s.Ops.TokenFile}.Do(ctx, http.MethodPost, "/resume", body)
	if err != nil {
		return "", err
	}
	var told struct {
		State string `json:"state"`
	}
	if err := json.Unmarshal(answer, &told); err != nil {
		return "", fmt.Errorf("read the answer of %s: %w; is something else listening there?", s.Ops.Listen, err)
	}
	return told.State, nil
}

// resumePage answers POST /resume.
func (s *supervisor) resumePage(w http.ResponseWriter, req *http.Request) {
	var r resumption
	if err := json.NewDecoder(io.LimitReader(req.Body, 4096)).Decode(&r); err != nil && !errors.Is(err, io.EOF) {
		http.Error(w, `{"error":"want JSON: resnapshot, accept_gap"}`, http.StatusBadRequest)
		return
	}
	state, _ := s.status.current()
	if state == ops.StateStopped {
		select {
		case s.resumed <- r:
		default: // somebody else has asked already
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"state": state}) // the client may be gone
}

func newAdoptCommand(g *globals) *cobra.Command {
	var history bool
	cmd := &cobra.Command{
		Use:   "adopt --new-history",
		Short: "Accepts that the database has another history than the one published from",
		Long: `Accepts another history: the server has another system identifier, because a dump was restored into a
new one, because of pg_upgrade, or because postgres.url names another server on purpose. The next start begins
a new epoch, reads all tables again, and has sinks delete what the new history does not have.

The decision is written into the relay's progress topic and holds for one change of history. A stopped relay is
told to try again.`,
		Example: "  relay adopt --new-history -c relay.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !history {
				return ops.Usage(errors.New("adopt: say what is accepted: --new-history"))
			}
			out, err := g.Out()
			if err != nil {
				return err
			}
			s, _, err := g.Load()
			if err != nil {
				return err
			}
			return s.adopt(cmd.Context(), out)
		},
	}
	cmd.Flags().BoolVar(&history, "new-history", false, "accept another system as the source, which costs a new snapshot")
	return cmd
}

func (s *settings) adopt(ctx context.Context, out *ops.Output) error {
	connection, err := s.kafkaConfig()
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	d, err := kafka.Decide(bounded, s.publisherConfig(connection), func(p cdc.Progress) cdc.Decision {
		return cdc.Decision{Version: 1, NewHistory: true, Epoch: p.Current().Epoch, At: time.Now().UTC()}
	})
	if err != nil {
		return err
	}
	if out.JSON {
		if err := out.Object(d); err != nil {
			return err
		}
	} else if err := out.Text("accepted: the next start may leave epoch %d for another history\n", d.Epoch); err != nil {
		return err
	}
	if _, err := s.resume(ctx, resumption{}); err != nil && !errors.Is(err, ops.ErrNobody) {
		return fmt.Errorf("the decision is written, but the running relay was not told; restart it: %w", err)
	}
	return nil
}
