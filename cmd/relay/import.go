package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tailrace/tailrace/internal/debezium"
	"github.com/tailrace/tailrace/internal/ops"
)

// maxImport bounds what is read; a connector's configuration of this size is a
// mistake.
const maxImport = 4 << 20

func newImportCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Turns the configuration of a Debezium connector into relay.yaml",
		Long: `Turns the configuration of a Debezium PostgreSQL connector into a relay.yaml that goes on where the
connector stopped, and prints it. FILE is the JSON that was posted to Kafka Connect, or properties; - is
stdin. Comments stand where an option means something else here, and where the file says less than is
needed, such as the brokers.

Passwords are never printed: the file refers to variables of the environment instead.

Exit code 4: an option would change records or their delivery and has no counterpart. It is named with
its reason, and nothing is printed; with --force the file is printed all the same, with these options as
comments. 2: the file cannot be read as the configuration of such a connector.`,
		Example: `  relay import connector.json > relay.yaml
  curl -s http://127.0.0.1:8083/connectors/inventory | relay import - > relay.yaml
  relay import --force connector.properties > relay.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return importConnector(args[0], force, cmd.InOrStdin(), os.Stdout, os.Stderr)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "print the file although options have no counterpart; they stand in it as comments")
	return cmd
}

func importConnector(file string, force bool, stdin io.Reader, out, log io.Writer) error {
	name := file
	if file == "-" {
		name = "stdin"
	}
	data, err := readImport(file, stdin)
	if err != nil {
		return ops.Usage(fmt.Errorf("import: %w", err))
	}
	connector, err := debezium.Parse(data)
	if err != nil {
		return ops.Usage(fmt.Errorf("import: %s: %w", name, err))
	}
	result, err := debezium.Import(connector)
	if err != nil {
		return ops.Usage(fmt.Errorf("import: %s: %w", name, err))
	}
	for _, m := range result.Missing {
		_, _ = fmt.Fprintf(log, "%s: %s = %s: %s\n", name, m.Option, m.Value, m.Reason)
	}
	if n := len(result.Missing); n > 0 && !force {
		return &ops.Exit{Code: ops.ExitFound, Err: fmt.Errorf("import: %s above would change records or their delivery, and have no counterpart, so nothing is printed;"+
			" change the connector, or take the difference with --force", count(n, "option"))}
	}
	_, err = out.Write(result.YAML)
	return err
}

func count(n int, what string) string {
	if n == 1 {
		return "the 1 " + what
	}
	return fmt.Sprintf("the %d %ss", n, what)
}

func readImport(file string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("no file %s; want the configuration of a connector, or - for stdin", file)
		}
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxImport+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if len(data) > maxImport {
		return nil, fmt.Errorf("%s has more than %d bytes; want the configuration of one connector", file, maxImport)
	}
	return data, nil
}
