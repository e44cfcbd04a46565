package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/cdc"
	"github.com/tailrace/tailrace/internal/ops"
	"github.com/tailrace/tailrace/schema"
	"github.com/tailrace/tailrace/schema/registry"
)

func newSchemaCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Shows and checks the Avro schemas of tables, without registering any",
		Long: `Shows and checks the Avro schemas of tables as the database has them now. Nothing is registered, and
slot and topics are not touched: run these commands in a service's CI, against a database that has its
migrations, before the migrations are deployed.`,
		Example: "  relay schema show public.orders\n  relay schema check\n  relay schema diff public.orders",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return ops.Usage(errors.New("schema what? show, check or diff"))
		},
	}
	cmd.AddCommand(newSchemaShowCommand(g), newSchemaCheckCommand(g), newSchemaDiffCommand(g))
	return cmd
}

// tableSchema is a schema of a table's records as it would be registered.
type tableSchema struct {
	Table   string `json:"table"`
	Part    string `json:"part"` // key or value
	Subject string `json:"subject"`
	text    string
}

// schemasOf are the schemas of a table's keys, if it has any, and values, as the
// overrides shape them.
func (s *settings) schemasOf(book *ruleBook, t *cdc.Table) ([]tableSchema, error) {
	topic, form := s.topic(book, t), s.schemaSettings()
	published, err := book.shaped(t)
	if err != nil {
		return nil, errors.New(err.Error()) // nothing has stopped that a person must start again
	}
	key, value, err := schema.Describe(form, published, topic)
	if err != nil {
		return nil, fmt.Errorf("table %s has no Avro schema: %w; leave it out by tables.exclude", t, err)
	}
	keySubject, valueSubject, err := form.Subjects(topic, key, value)
	if err != nil {
		return nil, err
	}
	list := []tableSchema{{Table: t.String(), Part: "value", Subject: valueSubject, text: value}}
	if key != "" {
		list = append([]tableSchema{{Table: t.String(), Part: "key", Subject: keySubject, text: key}}, list...)
	}
	return list, nil
}

func newSchemaShowCommand(g *globals) *cobra.Command {
	var key, value bool
	cmd := &cobra.Command{
		Use:   "show SCHEMA.TABLE",
		Short: "Prints the Avro schemas of a table as they would be registered",
		Long: `Prints the Avro schemas of a table's keys and values as they would be registered, indented. With
-o json each is one line: the text that the registry gets.`,
		Example: "  relay schema show public.orders\n  relay schema show public.orders --value -o json > orders.avsc",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, s, _, err := g.Open()
			if err != nil {
				return err
			}
			book, tables, err := s.namedTables(cmd.Context(), args)
			if err != nil {
				return err
			}
			schemas, err := s.schemasOf(book, tables[0])
			if err != nil {
				return err
			}
			if len(schemas) == 1 && key && !value {
				return fmt.Errorf("table %s has no key, so its records have none; give it a primary key, or set the key in tables.overrides", tables[0])
			}
			for _, part := range schemas {
				if key == value || key && part.Part == "key" || value && part.Part == "value" {
					if err := part.print(out, key == value); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&key, "key", false, "only the key's")
	cmd.Flags().BoolVar(&value, "value", false, "only the value's")
	return cmd
}

func (t *tableSchema) print(out *ops.Output, title bool) error {
	if out.JSON {
		return out.Text("%s\n", t.text)
	}
	if title {
		if err := out.Text("%s\n", out.Paint(ops.Bold, "subject "+t.Subject)); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(t.text), "", "  "); err != nil {
		return fmt.Errorf("schema of subject %s: %w", t.Subject, err)
	}
	return out.Text("%s\n", b.String())
}

func newSchemaCheckCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "check [SCHEMA.TABLE …]",
		Short: "Asks the registry whether it would take the schemas of tables",
		Long: `Asks the registry whether it would take the schemas of the tables, or of all that are published, under
each subject's own compatibility level, and lists its verdicts. Exit code 4: it refuses one, or one that
has to be there is not (registry.auto_register: false).`,
		Example: "  relay schema check\n  relay schema check public.orders -o json",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			out, s, _, err := g.Open()
			if err != nil {
				return err
			}
			book, tables, err := s.namedTables(cmd.Context(), args)
			if err != nil {
				return err
			}
			client, err := s.Registry.shared().Client(nil)
			if err != nil {
				return err
			}
			var findings []cdc.Finding
			for _, t := range tables {
				findings = append(findings, book.findings(t)...)
				found, err := s.verdicts(cmd.Context(), client, book, t)
				if err != nil {
					return err
				}
				findings = append(findings, found...)
			}
			if err := printFindings(out, findings); err != nil {
				return err
			}
			if failed, _ := cdc.Worst(findings); failed {
				return &ops.Exit{Code: ops.ExitFound}
			}
			return nil
		},
	}
}

// difference is one line of relay schema diff -o json.
type difference struct {
	tableSchema
	Version int    `json:"version"` // the latest of the subject; 0: it does not exist yet
	Level   string `json:"level"`
	schema.Difference
}

func newSchemaDiffCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "diff SCHEMA.TABLE",
		Short: "Prints what would change from a table's latest registered schemas",
		Long: `Prints the differences between the latest schemas that the registry has for a table and those that
would be registered now, and which readers each of them breaks.`,
		Example: "  relay schema diff public.orders\n  relay schema diff public.orders -o json | jq .column",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, s, _, err := g.Open()
			if err != nil {
				return err
			}
			book, tables, err := s.namedTables(cmd.Context(), args)
			if err != nil {
				return err
			}
			schemas, err := s.schemasOf(book, tables[0])
			if err != nil {
				return err
			}
			client, err := s.Registry.shared().Client(nil)
			if err != nil {
				return err
			}
			for _, part := range schemas {
				if err := part.diff(cmd.Context(), client, out); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (t *tableSchema) diff(ctx context.Context, client *registry.Client, out *ops.Output) error {
	v, err := client.Ask(ctx, t.Subject, t.text)
	if err != nil {
		return err
	}
	var list []schema.Difference
	if v.Version > 0 {
		if list, err = schema.Differences(v.Latest, t.text); err != nil {
			return fmt.Errorf("subject %s, version %d: %w", t.Subject, v.Version, err)
		}
	}
	if out.JSON {
		for _, d := range list {
			if err := out.Object(difference{*t, v.Version, v.Level, d}); err != nil {
				return err
			}
		}
		return nil
	}
	title := fmt.Sprintf("subject %s, version %d, %s", t.Subject, v.Version, levelText(v.Level))
	switch {
	case v.Version == 0:
		return out.Text("%s\n  does not exist yet\n", out.Paint(ops.Bold, "subject "+t.Subject))
	case len(list) == 0:
		return out.Text("%s\n  no differences\n", out.Paint(ops.Bold, title))
	}
	if err := out.Text("%s\n", out.Paint(ops.Bold, title)); err != nil {
		return err
	}
	for _, d := range list {
		color := ""
		if d.Breaks(v.Level) {
			color = ops.Red
		}
		line := d.String()
		if color != "" {
			line = out.Paint(color, line)
		}
		if err := out.Text("  %s\n", line); err != nil {
			return err
		}
	}
	return nil
}

func levelText(level string) string {
	if level == "" {
		return "no compatibility level"
	}
	return level
}
