package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/cdc/postgres"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/kafka"
	"github.com/tailrace/tailrace/schema/registry"
)

func newCheckCommand(g *globals) *cobra.Command {
	var strict, grants bool
	var role string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Looks whether PostgreSQL, Kafka and the registry have what the relay needs",
		Long: `Looks whether PostgreSQL, Kafka and the registry have what the relay needs, and lists what it
found with remedies. It changes nothing. Exit code 4: there is an error, which relay run would
refuse too; with --strict, a warning.`,
		Example: "  relay check -c relay.yaml\n  relay check --strict -o json\n  relay check --grants | psql",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, s, _, err := g.Open()
			if err != nil {
				return err
			}
			if grants {
				return printGrants(cmd.Context(), s, role, out)
			}
			findings := s.check(cmd.Context())
			if err := printFindings(out, findings); err != nil {
				return err
			}
			if failed, warned := cdc.Worst(findings); failed || strict && warned {
				return &ops.Exit{Code: ops.ExitFound}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 4 for a warning too")
	cmd.Flags().BoolVar(&grants, "grants", false, "print the SQL that gives a role of its own the least privileges; what it has already is left out")
	cmd.Flags().StringVar(&role, "role", "tailrace", "with --grants: the role")
	return cmd
}

// check asks all three; what it cannot ask is a finding.
func (s *settings) check(ctx context.Context) []cdc.Finding {
	var findings []cdc.Finding
	if err := s.available(); err != nil {
		findings = append(findings, cdc.Finding{Level: cdc.LevelError, Name: "configuration", What: err.Error(), Remedy: "leave the keys out"})
	}
	book, err := s.ruleBook()
	if err != nil {
		return append(findings, cdc.Finding{Level: cdc.LevelError, Name: "configuration", What: err.Error(), Remedy: "correct that key"})
	}
	logger, err := ops.NewLogger(os.Stderr, "error", "text")
	if err != nil {
		return append(findings, cdc.Finding{Level: cdc.LevelError, Name: "log", What: err.Error()})
	}
	trailing := ""
	if s.Replay.Window > 0 {
		trailing = s.names().Trailing
	}
	found, tables := postgres.Check(ctx, s.postgresConfig(logger, book), postgres.CheckOptions{
		CreateSlot: s.Postgres.Slot.Create, Snapshot: s.Snapshot.Mode != "never", OutboxPrefix: s.Outbox.Prefix != "", Heartbeat: s.Heartbeat.Interval > 0, Trailing: trailing,
	})
	findings = append(findings, found...)
	for _, t := range tables {
		findings = append(findings, book.findings(t)...)
	}
	findings = append(findings, s.checkKafka(ctx, book, tables)...)
	return append(findings, s.checkRegistry(ctx, book, tables)...)
}

func (s *settings) checkKafka(ctx context.Context, book *ruleBook, tables []*cdc.Table) []cdc.Finding {
	config, err := s.kafkaConfig()
	if err != nil {
		return []cdc.Finding{{Level: cdc.LevelError, Name: "kafka", What: err.Error(), Remedy: "correct kafka.sasl.password_file"}}
	}
	topics := []string{s.DeadLetter.Topic}
	if s.Format.TransactionMetadata {
		topics = append(topics, cdc.TransactionTopic(s.Name))
	}
	if s.Heartbeat.Topic {
		topics = append(topics, cdc.HeartbeatTopic(s.Name))
	}
	for _, t := range tables {
		topics = append(topics, s.topic(book, t))
	}
	return kafka.Check(ctx, config, kafka.CheckOptions{
		Name: s.Name, Topics: topics, Beside: []string{cdc.MessageTopic(s.Name)}, Create: s.Kafka.Topics.Create, Partitions: s.Kafka.Topics.Partitions,
		Replication: s.Kafka.Topics.ReplicationFactor, MaxRecord: int(s.MaxRow), SingleBroker: s.Kafka.SingleBroker,
	})
}

func (s *settings) checkRegistry(ctx context.Context, book *ruleBook, tables []*cdc.Table) []cdc.Finding {
	client, err := s.Registry.shared().Client(nil)
	if err != nil {
		return []cdc.Finding{{Level: cdc.LevelError, Name: "registry", What: err.Error(), Remedy: "correct registry.url"}}
	}
	findings := registry.Check(ctx, client, nil, false)
	if failed, _ := cdc.Worst(findings); failed {
		return findings
	}
	for _, t := range tables {
		verdicts, err := s.verdicts(ctx, client, book, t)
		if err != nil {
			return append(findings, cdc.Finding{Level: cdc.LevelError, Name: "registry", What: err.Error(), Remedy: "run relay check again once the registry answers"})
		}
		for _, f := range verdicts {
			if f.Level != cdc.LevelInfo {
				findings = append(findings, f)
			}
		}
	}
	return findings
}

func printFindings(out *ops.Output, findings []cdc.Finding) error {
	if out.JSON {
		for _, f := range findings {
			if err := out.Object(f); err != nil {
				return err
			}
		}
		return nil
	}
	color := map[cdc.Level]string{cdc.LevelError: ops.Red, cdc.LevelWarning: ops.Yellow, cdc.LevelInfo: ops.Green}
	table := ops.NewTable(out.Paint(ops.Bold, "LEVEL"), out.Paint(ops.Bold, "CHECK"), out.Paint(ops.Bold, "WHAT"))
	for _, f := range findings {
		table.Row(out.Paint(color[f.Level], string(f.Level)), f.Name, f.What)
		if f.Remedy != "" {
			table.Row("", "", "→ "+f.Remedy)
		}
	}
	return table.Write(out)
}

func printGrants(ctx context.Context, s *settings, role string, out *ops.Output) error {
	book, err := s.ruleBook()
	if err != nil {
		return ops.Usage(err)
	}
	logger, err := ops.NewLogger(os.Stderr, "error", "text")
	if err != nil {
		return err
	}
	sql, err := postgres.Grants(ctx, s.postgresConfig(logger, book), role, s.Heartbeat.Interval > 0)
	if err != nil {
		return err
	}
	if out.JSON {
		return out.Object(map[string]string{"sql": sql})
	}
	return out.Text("%s", sql)
}
